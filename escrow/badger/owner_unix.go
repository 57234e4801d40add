//go:build unix && !aix && !solaris

package badger

import (
	"os"

	"golang.org/x/sys/unix"
)

const holds = true

// hold takes a file for this one opening of it; the system lets go when the
// process ends.
func hold(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }
