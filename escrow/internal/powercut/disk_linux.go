package powercut

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keposs/keposs/internal/child"
	"github.com/keposs/keposs/internal/cutdisk"
)

// A Disk is a mounted ext4 in a file.
type Disk struct {
	t    testing.TB
	disk *cutdisk.Disk
	n    int
}

// New makes and mounts a disk of the size in MiB; the test's end takes it away.
// It skips where that is not possible.
func New(t testing.TB, mib int64) *Disk {
	t.Helper()
	disk, err := cutdisk.New(mib)
	if errors.Is(err, cutdisk.ErrAbsent) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := disk.Remove(); err != nil {
			t.Error(err)
		}
	})
	return &Disk{t: t, disk: disk}
}

// Folder makes an empty folder on the disk. It and the disk's own metadata are
// durable when it returns.
func (d *Disk) Folder() string {
	d.n++
	dir := filepath.Join(d.disk.Dir(), fmt.Sprint(d.n))
	if err := os.Mkdir(dir, 0o700); err != nil {
		d.t.Fatal(err)
	}
	unix.Sync()
	return dir
}

// Place is a folder with what ends the disk and a process over it, and what
// brings the folder back; t's end removes it. The process is stopped before the
// disk: without power no program goes on either, and a sync that the shutdown
// overtakes may be told that it succeeded (jbd2 answers for a transaction it has
// just aborted), which nobody would live to hear.
func (d *Disk) Place(t *testing.T) (dir string, cut func(p *os.Process), back func()) {
	dir = d.Folder()
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir, func(p *os.Process) {
		if err := child.Halt(p); err != nil {
			d.t.Errorf("stop the process before the cut: %v", err)
		}
		d.Cut()
		_ = p.Kill()
	}, d.Back
}

// Cut ends every write from this instant on; what was not synced is lost.
func (d *Disk) Cut() {
	if err := d.disk.Cut(); err != nil {
		d.t.Errorf("cut: %v", err)
	}
}

// Back mounts the disk again as it is after the cut; nobody may use it.
func (d *Disk) Back() {
	d.t.Helper()
	if err := d.disk.Back(); err != nil {
		d.t.Fatal(err)
	}
}
