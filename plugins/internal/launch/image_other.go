//go:build !linux

package launch

import (
	"io"
	"io/fs"
	"os"
	"os/exec"
	"runtime"

	"github.com/keposs/keposs/core/sm"
)

func selfPath(path string) string { return path }

func executable(m fs.FileMode) bool { return runtime.GOOS == "windows" || m.Perm()&0o111 != 0 }

// take only measures: the weaker mode. Between measuring and executing the
// file can be replaced by who may write it.
func (i *Image) take(r io.Reader, _ string) error {
	i.Weak = true
	_, err := io.Copy(io.Discard, r)
	return err
}

// prepare measures the file again before it is executed by its path.
func (i *Image) prepare(cmd *exec.Cmd) error {
	f, err := os.Open(i.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	digest, _, err := sm.Measure(f)
	if err != nil {
		return err
	}
	if digest != i.Digest {
		return &StartError{Reason: Digest, Plugin: i.Path}
	}
	cmd.Path = i.Path
	return nil
}

// start has no groups to put the child into; its helpers are its own affair.
func start(cmd *exec.Cmd, _ string, _ *confinement) (end func(), err error) {
	return func() {}, cmd.Start()
}

// A confinement: there is none here.
type confinement struct{}

func (Spec) confine(string) *confinement { return nil }

// Confinement says how confined processes are shut off: not at all here.
func Confinement() string { return "" }

func exited(int) {}

// Limit says how plugins are kept from flooding the machine: not at all here.
func Limit() string { return "" }

func kill(p *os.Process) error { return p.Kill() }
