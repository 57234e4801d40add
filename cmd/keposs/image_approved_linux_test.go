package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keposs/keposs/client"
	"github.com/keposs/keposs/internal/testenv"
)

// vendorPlugin builds a source as a vendor ships one beside the program: the PIN
// source in a file of its own, which takes the place of the built-in one.
func vendorPlugin(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "vendor-pin")
	cmd := exec.Command("go", "build", "-trimpath", "-o", path, "./plugins/bin/pin")
	cmd.Dir = testenv.Root()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// by is the terminal used by another program.
func (x *terminal) by(bin string) *terminal {
	other := *x.site
	other.bin = bin
	return &terminal{site: &other, app: x.app, dir: x.dir}
}

// typed runs a command with --json and a person at its terminal, who is asked
// as often as want; it returns what the command says of its result.
func (x *terminal) typed(t *testing.T, want int, args ...string) (approved bool) {
	t.Helper()
	cmd := exec.Command(x.bin, append([]string{"--dir", x.dir}, append(args, "--json")...)...)
	var out, errs bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = x.env(), &out, &errs
	e, err := enter(t, cmd)
	if err != nil {
		t.Fatalf("keposs %s: %v\n%s%s", strings.Join(args, " "), err, out.String(), errs.String())
	}
	if e.pins+e.gestures != want {
		t.Errorf("keposs %s asked for %d PINs and %d gestures, want %d entries", strings.Join(args, " "), e.pins, e.gestures, want)
	}
	var said struct{ Approved *bool }
	if err := json.Unmarshal(out.Bytes(), &said); err != nil || said.Approved == nil {
		t.Fatalf("keposs %s does not say whether its result is approved: %v\n%s", strings.Join(args, " "), err, out.String())
	}
	return *said.Approved
}

// approvedResults asks the program bin of a release for keys and signatures by
// a person's own entries: all is approved as long as every function and every
// image is, and nothing else is. other is the same program without a stamp.
func approvedResults(t *testing.T, bin, other string) {
	s := newSite(t, bin, "warn")
	if err := os.WriteFile(s.file("m"), []byte("m"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := s.file("m")
	made := func(t *testing.T, x *terminal, entries int, more ...string) bool {
		return x.typed(t, entries, append([]string{"init", "--min-iterations", "1024"}, more...)...)
	}
	signed := func(t *testing.T, x *terminal) bool { return x.typed(t, 2, "sign", m, "--out", x.file("m.sig")) }

	t.Run("approved functions of the image", func(t *testing.T) {
		x := s.terminal(t)
		if !made(t, x, 4) {
			t.Error("the key is not approved")
		}
		if !signed(t, x) {
			t.Error("the signature is not approved")
		}
		if !x.typed(t, 2, "verify", m, "--signature", s.file("m.sig")) {
			t.Error("the verification is not approved")
		}
		if !x.typed(t, 0, "encrypt", m, "--out", s.file("m.sm2")) || !x.typed(t, 2, "decrypt", s.file("m.sm2"), "--out", s.file("m.back")) {
			t.Error("the encryption or the decryption is not approved")
		}
		var said struct{ Approved bool }
		x.object(t, &said, x.sign("answers"))
		if said.Approved {
			t.Error("a signature with entries from a descriptor is approved")
		}
		r := x.by(other).run(t, x.sign("answers"))
		if r.status != 7 || !strings.Contains(r.errs, "use the signed image") {
			t.Errorf("a program nobody signed uses keys of the approved space: %s", r)
		}
	})
	t.Run("in the program's own process", func(t *testing.T) {
		if x := s.terminal(t); !made(t, x, 4, "--in-process") || !x.typed(t, 2, "sign", m, "--out", s.file("m.sig"), "--in-process") {
			t.Error("not approved")
		}
	})
	t.Run("a kdf that is not approved", func(t *testing.T) {
		if x := s.terminal(t); made(t, x, 4, "--kdf", "hybrid$i=1024,m=8192,p=1,t=1") || signed(t, x) {
			t.Error("approved")
		}
	})
	t.Run("a key of a program nobody signed", func(t *testing.T) {
		x := s.terminal(t)
		if made(t, x.by(other), 4) {
			t.Error("made by a program nobody signed, it is approved")
		}
		if signed(t, x) {
			t.Error("opened by the image, it gives an approved signature")
		}
	})
	t.Run("a plugin the operator pinned", func(t *testing.T) {
		if !grpcio() {
			t.Skip("no /usr/bin/python3 with grpc, protobuf and cryptography")
		}
		x := s.terminal(t)
		x.must(t, run{dir: x.dir, args: []string{"plugin", "pin", filepath.Join(testenv.Root(), "examples", "plugin-python", "digits")}})
		if made(t, x, 4, "--policy", "digits & gesture") || signed(t, x) {
			t.Error("approved")
		}
	})
	t.Run("level 2, by the image's agent", func(t *testing.T) {
		x := s.terminal(t)
		a := x.agent(t, nil)
		c, err := client.Open(t.Context(), client.Options{Agent: a.Socket, Prompter: person(sitePIN), Profile: cheap2()})
		if err != nil {
			t.Fatal(err)
		}
		u, err := c.Initialize(t.Context(), client.InitRequest{})
		if err != nil || !u.Approved {
			t.Fatalf("initialise: %+v, %v\n%s", u, err, s.logged(t))
		}
		if !signed(t, x) {
			t.Error("the signature is not approved")
		}
		if err := a.stop(); err != nil {
			t.Errorf("the agent ended with %v\n%s", err, s.logged(t))
		}
	})
	t.Run("quickstart", func(t *testing.T) {
		cmd := exec.Command(bin, "--dir", t.TempDir(), "quickstart", "--interactive", "--json")
		var out, errs bytes.Buffer
		cmd.Env, cmd.Stdout, cmd.Stderr = s.env(), &out, &errs
		if _, err := enter(t, cmd); err != nil || !strings.Contains(out.String(), `"approved": true`) {
			t.Errorf("%v\n%s%s", err, out.String(), errs.String())
		}
	})
}

// changedPlugin flips a bit of the vendor's plugin in the image of bin and puts
// it back at the end: whatever the program is asked for it refuses before it
// asks anybody, and names the file.
func changedPlugin(t *testing.T, bin string) {
	s := newSite(t, bin, "warn")
	x := s.terminal(t)
	s.must(t, x.init("5"))
	s.must(t, x.sign("answers"))
	const file = "plugins/source-pin/vendor-pin"
	path := filepath.Join(filepath.Dir(bin), filepath.FromSlash(file))
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// The file is replaced, not written to: it may be running.
	put := func(b []byte) {
		if err := os.WriteFile(path+".new", b, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	bad := bytes.Clone(good)
	bad[len(bad)/2] ^= 1
	put(bad)
	sig := filepath.Join(x.dir, "other.sig")
	serve := run{dir: s.dir, fd3: s.file("password"), args: []string{"ss-cc", "serve", "--listen", "127.0.0.1:0", "--until-stdin-ends", "--unseal-fd", "3"}}
	for _, r := range []run{
		{dir: x.dir, fd3: x.file("answers"), args: []string{"sign", x.file("answers"), "--out", sig, "--ppd-fd", "3"}},
		{dir: x.dir, args: []string{"encrypt", x.file("answers"), "--out", sig}},
		{dir: x.dir, args: []string{"status"}},
		{dir: x.dir, args: []string{"agent"}},
		{dir: x.dir, args: []string{"selftest"}},
	} {
		if res := x.run(t, r); res.status == 0 || !strings.Contains(res.out+res.errs, file) {
			t.Errorf("keposs %s with a changed plugin in the image: %s", r.args[0], res)
		}
	}
	if _, err := os.Stat(sig); err == nil {
		t.Error("a file was written")
	}
	s.stop(t)
	if res := s.run(t, serve); res.status == 0 || !strings.Contains(res.out+res.errs, file) {
		t.Errorf("SS-CC with a changed plugin in the image: %s", res)
	}
	put(good)
	s.start(t)
	s.must(t, x.sign("answers"))
}
