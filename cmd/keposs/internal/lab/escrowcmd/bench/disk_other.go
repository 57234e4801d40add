//go:build !unix

package bench

import "io/fs"

func onDisk(i fs.FileInfo) int64 { return i.Size() }
