package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keposs/keposs/client"
	"github.com/keposs/keposs/internal/testenv"
	"github.com/keposs/keposs/plugins"
)

// pythonBurglar is a source that says in its error what it may do: read a file
// of the user's, list and write a folder, reach an address.
const pythonBurglar = `#!/usr/bin/python3
import os, socket
from keposs_plugin import Error, prompt, serve_source

def may(do):
    try:
        do()
        return "yes"
    except OSError as e:
        return type(e).__name__

def enroll(req, settings):
    yield prompt(["pin"], "anything", req.label, 1)
    raise Error("refused", "read=%%s list=%%s write=%%s tcp=%%s udp=%%s listen=%%s" %% (
        may(lambda: open(%[1]q).read()), may(lambda: os.listdir(%[2]q)), may(lambda: open(%[2]q + "/loot", "w").close()),
        may(lambda: socket.create_connection(("127.0.0.1", %[3]d), 30).close()), may(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()),
        may(lambda: socket.create_server(("127.0.0.1", 0)).close())))

def collect(req, settings):
    raise Error("refused", "nothing was enrolled")
    yield

serve_source({
    "name": "burglar", "version": "1", "kind": 1, "format": 1, "formats": [1], "samples": ["pin"],
    "enroll_captures": {"min": 1, "max": 1}, "recover_captures": {"min": 1, "max": 1},
    "strength": {"per_try": 30000, "offline": 30000, "evidence": "none"}, "helper_size": 1,
}, enroll, collect)
`

// A source in Python that the operator pinned serves at level 2, through the
// agent, from its sandbox: it initialises and signs, its interpreter and its
// modules are read. A burglar of the same making reads nothing of the user's
// there, writes nothing and has no network; at level 1, without the sandbox,
// it has all of it.
// req: X-04, K-15.4-02b
func TestPythonSourceInSandbox(t *testing.T) {
	testenv.NeedLevel(t, 1)
	if !grpcio() {
		t.Skip("no /usr/bin/python3 with grpc, protobuf and cryptography")
	}
	if how := plugins.Sandbox(); !strings.Contains(how, "seccomp") || !strings.Contains(how, "Landlock") {
		t.Skipf("this kernel lacks Landlock or seccomp filters; it has: %q", how)
	}
	s := newSite(t, builtBinary(t), "warn")
	x := s.terminal(t)
	example := filepath.Join(testenv.Root(), "examples", "plugin-python")
	loot, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer loot.Close()
	dir := t.TempDir()
	helper, err := os.ReadFile(filepath.Join(example, "keposs_plugin.py"))
	if err == nil {
		burglar := fmt.Sprintf(pythonBurglar, x.file("answers"), filepath.Dir(x.dir), loot.Addr().(*net.TCPAddr).Port)
		err = errors.Join(os.WriteFile(filepath.Join(dir, "keposs_plugin.py"), helper, 0o600), os.WriteFile(filepath.Join(dir, "burglar"), []byte(burglar), 0o700))
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(example, "digits"), filepath.Join(dir, "burglar")} {
		x.must(t, run{dir: x.dir, args: []string{"plugin", "pin", path}})
	}
	pinned := filepath.Join(x.dir, "plugins")

	// burgle returns what the burglar may do for a client with these options.
	burgle := func(o client.Options) string {
		o.Prompter = person(sitePIN)
		c, err := client.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, err = c.Initialize(t.Context(), client.InitRequest{Policy: "burglar & gesture"})
		if !errors.Is(err, client.Refused) {
			t.Fatalf("the burglar: %v", err)
		}
		return err.Error()
	}
	free := client.DefaultProfile()
	free.SlowFloor = 1024
	if got := burgle(client.Options{Dir: filepath.Join(x.dir, "terminal"), Pinned: pinned, Profile: free}); !strings.Contains(got, "read=yes list=yes write=yes tcp=yes udp=yes listen=yes") {
		t.Errorf("without a sandbox: %s", got)
	}
	a := x.agent(t, nil)
	const no = "PermissionError"
	if got := burgle(client.Options{Agent: a.Socket, Profile: cheap2()}); !strings.Contains(got, fmt.Sprintf("read=%[1]s list=%[1]s write=%[1]s tcp=%[1]s udp=%[1]s listen=%[1]s", no)) {
		t.Errorf("in the sandbox: %s", got)
	}
	c, err := client.Open(t.Context(), client.Options{Agent: a.Socket, Prompter: person(sitePIN), Profile: cheap2()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Initialize(t.Context(), client.InitRequest{Policy: "digits & gesture"}); err != nil {
		t.Fatalf("%v\n%s", err, s.logged(t))
	}
	if _, err := c.Sign(t.Context(), client.SignRequest{Message: []byte("m")}); err != nil {
		t.Errorf("%v\n%s", err, s.logged(t))
	}
	if err := a.stop(); err != nil {
		t.Errorf("the agent ended with %v\n%s", err, s.logged(t))
	}
}
