package launch

import (
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
	if i.file == nil {
		return nil
	}
	return i.file.Close()
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
