//go:build unix

package mstcc

import (
	"os"

	"github.com/keposs/keposs/core"
)

// privateMode refuses a path others may use.
// req: G-7.6-01, G-7.6-02
func privateMode(path string) error {
	st, err := os.Lstat(path)
	if err != nil {
		return core.Errorf(core.Internal, "mstcc: mode", "%w", err)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return core.Errorf(core.Integrity, "mstcc: mode", "%s has mode %o: others may use it; run chmod go-rwx on it", path, st.Mode().Perm())
	}
	return nil
}
