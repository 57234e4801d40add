//go:build unix

package bench

import (
	"io/fs"
	"syscall"
)

// onDisk is what a file takes of the disk: engines make files larger than they
// have filled yet.
func onDisk(i fs.FileInfo) int64 {
	if st, ok := i.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512
	}
	return i.Size()
}
