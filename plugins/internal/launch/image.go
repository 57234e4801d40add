package launch

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/sm"
)

// maxImage bounds an executable, in bytes.
const maxImage = 512 << 20

// An Image is an executable taken once and started any number of times.
type Image struct {
	Path   string
	Digest [32]byte // SM3 of the content
	Weak   bool     // runs from its path, measured before each start: the platform has no sealed memory files
	file   *os.File // the sealed copy
	dir    string   // the private copy of several files
}

// Load takes the executable at path under a name for the process table. want,
// if not zero, is the SM3 it must have.
func Load(path, name string, want [32]byte) (*Image, error) {
	fail := func(r Reason, detail string) (*Image, error) {
		return nil, &StartError{Reason: r, Plugin: name, Detail: detail}
	}
	f, err := os.Open(path)
	if err != nil {
		return fail(NotExecutable, err.Error())
	}
	defer f.Close()
	st, err := f.Stat()
	switch {
	case err != nil:
		return fail(NotExecutable, err.Error())
	case !st.Mode().IsRegular():
		return fail(NotExecutable, path+" is no regular file")
	case !executable(st.Mode()):
		return fail(NotExecutable, path+" has no execute permission")
	case st.Size() > maxImage:
		return fail(NotExecutable, path+" is above 512 MiB")
	}
	i := &Image{Path: path}
	h := sm.NewSM3()
	if err := i.take(io.TeeReader(io.LimitReader(f, maxImage), h), name); err != nil {
		return nil, core.Errorf(core.Environment, "plugin "+name+": start", "copy the executable into memory: %w", err)
	}
	h.Sum(i.Digest[:0])
	if want != ([32]byte{}) && want != i.Digest {
		i.Close()
		return fail(Digest, path)
	}
	return i, nil
}

// Close releases the copy; running processes keep theirs.
func (i *Image) Close() error {
	if i.dir != "" {
		return os.RemoveAll(i.dir)
	}
	if i.file == nil {
		return nil
	}
	return i.file.Close()
}

// LoadFolder takes a plugin of several files: each is copied from root into a
// private folder while it is measured, and main runs from there. Weak is set.
func LoadFolder(root, main, name string, digest [32]byte, files map[string][32]byte) (*Image, error) {
	base := ""
	if st, err := os.Stat("/dev/shm"); err == nil && st.IsDir() {
		base = "/dev/shm"
	}
	dir, err := os.MkdirTemp(base, "keposs-") // 0700
	if err != nil {
		return nil, core.Errorf(core.Environment, "plugin "+name+": start", "%w", err)
	}
	i := &Image{Digest: digest, Weak: true, dir: dir}
	rel, err := filepath.Rel(root, main)
	if err == nil {
		i.Path = filepath.Join(dir, rel)
		for path, want := range files {
			if err = copyMeasured(root, dir, path, name, want); err != nil {
				break
			}
		}
	}
	if err != nil {
		_ = i.Close()
		return nil, err
	}
	return i, nil
}

func copyMeasured(root, dir, path, name string, want [32]byte) error {
	r, err := os.OpenRoot(root) // no link leads out of it
	if err != nil {
		return &StartError{Reason: NotExecutable, Plugin: name, Detail: err.Error()}
	}
	defer r.Close()
	f, err := r.Open(filepath.FromSlash(path))
	if err != nil {
		return &StartError{Reason: NotExecutable, Plugin: name, Detail: err.Error()}
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() || st.Size() > maxImage {
		return &StartError{Reason: NotExecutable, Plugin: name, Detail: path + " is no regular file of reasonable size"}
	}
	to := filepath.Join(dir, filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return core.Errorf(core.Environment, "plugin "+name+": start", "%w", err)
	}
	w, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o500)
	if err != nil {
		return core.Errorf(core.Environment, "plugin "+name+": start", "%w", err)
	}
	h := sm.NewSM3()
	_, err = io.Copy(io.MultiWriter(w, h), io.LimitReader(f, maxImage))
	if err = errors.Join(err, w.Close()); err != nil {
		return core.Errorf(core.Environment, "plugin "+name+": start", "%w", err)
	}
	if [32]byte(h.Sum(nil)) != want {
		return &StartError{Reason: Digest, Plugin: name, Detail: path}
	}
	return nil
}

var self = sync.OnceValues(func() (*Image, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, core.Errorf(core.Environment, "plugins", "find the running program: %w", err)
	}
	return Load(selfPath(path), filepath.Base(path), [32]byte{})
})

// Self is the running program's own image, taken at the first call and shared
// by all plugins built into it.
func Self() (*Image, error) { return self() }

// SelfDigest is the SM3 of the running program's file as it is now.
func SelfDigest() (sum [32]byte, err error) {
	path, err := os.Executable()
	if err != nil {
		return sum, core.Errorf(core.Environment, "plugins", "find the running program: %w", err)
	}
	f, err := os.Open(selfPath(path))
	if err != nil {
		return sum, core.Errorf(core.Environment, "plugins", "open the running program: %w", err)
	}
	defer f.Close()
	if sum, _, err = sm.Measure(f); err != nil {
		return sum, core.Errorf(core.Environment, "plugins", "read the running program: %w", err)
	}
	return sum, nil
}
