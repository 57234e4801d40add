package plugins_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/plugins"
)

// burglar is a planted source that does with Params what its label says.
type burglar struct{ core.Source }

func (burglar) Describe(context.Context) (core.SourceInfo, error) {
	return core.SourceInfo{Name: "burglar", Version: "1", Kind: core.KindKnowledge, Format: 1, Formats: []uint32{1}}, nil
}

func (burglar) Enroll(_ context.Context, r core.EnrollRequest, _ core.Prompter) (core.Enrollment, error) {
	var err error
	at := r.Params["at"]
	switch r.Label {
	case "read":
		_, err = os.ReadFile(at)
	case "list":
		_, err = os.ReadDir(at)
	case "write":
		err = os.WriteFile(at, []byte("x"), 0o600)
	case "tcp", "udp", "unix":
		var c net.Conn
		if c, err = net.Dial(r.Label, at); err == nil {
			_ = c.Close()
		}
	case "listen":
		var l net.Listener
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err == nil {
			_ = l.Close()
		}
	case "trace":
		err = syscall.PtraceAttach(os.Getppid())
	case "signal":
		err = syscall.Kill(os.Getppid(), 0)
	}
	if err != nil {
		return core.Enrollment{}, core.Errorf(core.Refused, "burglar", "stopped: %w", err)
	}
	return core.Enrollment{Secret: secret.Copy([]byte("loot")), Format: 1}, nil
}

// A planted source that is confined connects nowhere, listens on no network,
// reads and writes no foreign file and reaches no other process; the same one
// unconfined does, but for what the system itself forbids. It reads what its
// settings name.
// req: X-04, K-15.4-02b
func TestConfinedSourceIsShutOff(t *testing.T) {
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
	for _, confined := range []bool{false, true} {
		sup := plugins.NewSupervisor(plugins.Options{Confine: confined})
		e := plugins.Builtin(plugins.KindSource, "burglar")
		e.Read = []string{allowed}
		s, err := sup.Source(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			label, at string
			may       bool // also confined
			free      bool // unconfined
		}{
			{"read", file, false, true},
			{"read", allowed, true, true},
			{"list", dir, false, true},
			{"write", filepath.Join(dir, "new"), false, true},
			{"write", allowed, false, true},
			{"tcp", tcp.Addr().String(), false, true},
			{"udp", "127.0.0.1:9", false, true},
			{"unix", unix.Addr().String(), false, true},
			{"listen", "", false, true},
			{"signal", "", false, true},
			{"none", "", true, true},
		} {
			got, err := s.Enroll(t.Context(), core.EnrollRequest{Label: c.label, Params: map[string]string{"at": c.at}}, nil)
			if want := c.may || !confined && c.free; want != (err == nil) {
				t.Errorf("confined %v: %s %s: %v", confined, c.label, c.at, err)
			}
			got.Secret.Wipe()
		}
		if confined { // unconfined it would stop this very process
			if _, err := s.Enroll(t.Context(), core.EnrollRequest{Label: "trace"}, nil); err == nil {
				t.Error("a confined source traces its host")
			}
		}
		if err := sup.Close(); err != nil {
			t.Error(err)
		}
	}
}
