package mstcc

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc/internal/durable"
)

// maxLocalFile bounds every file this package reads, before it is read.
const maxLocalFile = 64 << 10

// writeFile replaces dir/name durably: temporary file, fsync, rename, fsync of
// the folder. A crash leaves the old bytes or the new ones, never a mixture.
func writeFile(dir, name string, data []byte) (err error) {
	const op = "mstcc: write"
	f, err := os.CreateTemp(dir, "."+name+"-*")
	if err != nil {
		return core.Errorf(core.Exhausted, op, "create a file beside %s: %w", name, err)
	}
	tmp := f.Name()
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(tmp)
		}
	}()
	if err = f.Chmod(0o600); err != nil {
		return core.Errorf(core.Internal, op, "%s: %w", name, err)
	}
	if _, err = f.Write(data); err != nil {
		return core.Errorf(core.Exhausted, op, "%s: %w", name, err)
	}
	if err = f.Sync(); err != nil {
		return core.Errorf(core.Exhausted, op, "sync %s: %w", name, err)
	}
	if err = f.Close(); err != nil {
		return core.Errorf(core.Exhausted, op, "close %s: %w", name, err)
	}
	if err = os.Rename(tmp, filepath.Join(dir, name)); err != nil {
		return core.Errorf(core.Exhausted, op, "rename %s: %w", name, err)
	}
	return durable.Folder(dir)
}

// removeFile deletes dir/name durably; an absent file is fine.
func removeFile(dir, name string) error {
	err := os.Remove(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return core.Errorf(core.Internal, "mstcc: remove", "%s: %w", name, err)
	}
	return durable.Folder(dir)
}

// readFile returns the bytes of dir/name, or NotFound.
func readFile(dir, name string) ([]byte, error) {
	const op = "mstcc: read"
	path := filepath.Join(dir, name)
	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, core.Errorf(core.NotFound, op, "%s is absent", name)
	}
	if err != nil {
		return nil, core.Errorf(core.Internal, op, "%s: %w", name, err)
	}
	if !st.Mode().IsRegular() {
		return nil, core.Errorf(core.Integrity, op, "%s is not a regular file", name)
	}
	if st.Size() > maxLocalFile {
		return nil, core.Errorf(core.TooLarge, op, "%s has %d bytes, at most %d", name, st.Size(), maxLocalFile)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, core.Errorf(core.Internal, op, "%s: %w", name, err)
	}
	return b, nil
}

// sweepTemps removes temporary files a crash left behind.
func sweepTemps(dir string) {
	found, _ := filepath.Glob(filepath.Join(dir, ".*-*"))
	for _, f := range found {
		if st, err := os.Lstat(f); err == nil && st.Mode().IsRegular() {
			_ = os.Remove(f)
		}
	}
}
