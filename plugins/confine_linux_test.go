package plugins_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/plugins"
)

// burgle tries what label says, at a path or an address. nil = it may.
func burgle(label, at string) error {
	switch label {
	case "read":
		_, err := os.ReadFile(at)
		return err
	case "list":
		_, err := os.ReadDir(at)
		return err
	case "write":
		return os.WriteFile(at, []byte("x"), 0o600)
	case "tcp", "udp", "unix":
		c, err := net.Dial(label, at)
		if err == nil {
			_ = c.Close()
		}
		return err
	case "listen":
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err == nil {
			_ = l.Close()
		}
		return err
	case "trace":
		runtime.LockOSThread() // the tracer is a thread
		err := syscall.PtraceAttach(os.Getppid())
		if err == nil { // it is stopped by that: let it go
			_, _ = syscall.Wait4(os.Getppid(), nil, syscall.WALL, nil)
			_ = syscall.PtraceDetach(os.Getppid())
		}
		return err
	case "signal":
		return syscall.Kill(os.Getppid(), 0)
	}
	return nil
}

// burglar is a planted source that does with Params what its label says.
type burglar struct{ core.Source }

func (burglar) Describe(context.Context) (core.SourceInfo, error) {
	return core.SourceInfo{Name: "burglar", Version: "1", Kind: core.KindKnowledge, Format: 1, Formats: []uint32{1}}, nil
}

func (burglar) Enroll(_ context.Context, r core.EnrollRequest, _ core.Prompter) (core.Enrollment, error) {
	if err := burgle(r.Label, r.Params["at"]); err != nil {
		return core.Enrollment{}, core.Errorf(core.Refused, "burglar", "stopped: %w", err)
	}
	return core.Enrollment{Secret: secret.Copy([]byte("loot")), Format: 1}, nil
}

// burglarKDF is a planted KDF that does with its secret what its salt says.
type burglarKDF struct{ core.KDF }

func (burglarKDF) Describe(context.Context) (core.KDFInfo, error) {
	return core.KDFInfo{Name: "burglar", Version: "1", Default: core.NewParams("burglar")}, nil
}

func (burglarKDF) Derive(_ context.Context, _ core.Params, at, label, out []byte) error {
	if err := burgle(string(label), string(at)); err != nil {
		clear(out)
		return core.Errorf(core.Refused, "burglar", "stopped: %w", err)
	}
	copy(out, "loot")
	return nil
}

// A planted source or KDF that is confined connects nowhere, listens on no
// network, reads and writes no foreign file and reaches no other process; the
// same one unconfined does, but for what the system itself forbids. It reads
// what its settings name.
// req: X-04, K-15.4-02b
func TestConfinedPluginIsShutOff(t *testing.T) {
	if how := plugins.Sandbox(); !strings.Contains(how, "seccomp") || !strings.Contains(how, "Landlock") {
		t.Skipf("this kernel lacks Landlock or seccomp filters; it has: %q", how)
	}
	dir := t.TempDir()
	file, allowed := filepath.Join(dir, "file"), filepath.Join(dir, "allowed")
	for _, name := range []string{file, allowed} {
		if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	unix, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close()
	for _, c := range []struct {
		kind     string
		confined bool
	}{{plugins.KindSource, false}, {plugins.KindSource, true}, {plugins.KindKDF, false}, {plugins.KindKDF, true}} {
		t.Run(fmt.Sprintf("%s confined %t", c.kind, c.confined), func(t *testing.T) {
			sup := plugins.NewSupervisor(plugins.Options{Confine: c.confined})
			defer sup.Close()
			e := plugins.Builtin(c.kind, "burglar")
			e.Read = []string{allowed}
			try := burglary(t, sup, e)
			for _, b := range []struct {
				label, at string
				may       bool // also confined
			}{
				{"read", file, false},
				{"read", allowed, true},
				{"list", dir, false},
				{"write", filepath.Join(dir, "new"), false},
				{"write", allowed, false},
				{"tcp", tcp.Addr().String(), false},
				{"udp", "127.0.0.1:9", false},
				{"unix", unix.Addr().String(), false},
				{"listen", "", false},
				{"signal", "", false},
				{"none", "", true},
			} {
				if err := try(b.label, b.at); (b.may || !c.confined) != (err == nil) {
					t.Errorf("%s %s: %v", b.label, b.at, err)
				}
			}
			if c.confined && try("trace", "") == nil { // unconfined only root may, where Yama forbids it
				t.Error("it traces its host")
			}
		})
	}
}

// burglary makes the planted plugin of e's kind try things.
func burglary(t *testing.T, sup *plugins.Supervisor, e plugins.Entry) func(label, at string) error {
	t.Helper()
	if e.Kind == plugins.KindKDF {
		k, err := sup.KDF(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		return func(label, at string) error {
			var out [32]byte
			return k.Derive(t.Context(), core.NewParams("burglar"), []byte(at), []byte(label), out[:])
		}
	}
	s, err := sup.Source(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	return func(label, at string) error {
		got, err := s.Enroll(t.Context(), core.EnrollRequest{Label: label, Params: map[string]string{"at": at}}, nil)
		got.Secret.Wipe()
		return err
	}
}
