package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// One changed byte in what is kept gives the code docs/protocol.md names
// (section 5), before anything is asked, and nothing else changes. What SS-CC
// serves is changed in core/mstcc's and core/mf's tests, a plugin's image in
// those of plugins.
// req: K-15-01a, K-15-02
func TestChangedByte(t *testing.T) {
	s := newSite(t, builtBinary(t), "warn")
	x := s.terminal(t)
	s.must(t, x.init("5"))
	s.must(t, x.sign("answers"))

	// No descriptor and no terminal: whoever would ask fails with another code.
	sign := x.sign("answers")
	sign.fd3, sign.args = "", []string{"sign", x.file("answers"), "--out", filepath.Join(t.TempDir(), "sig"), "--json"}
	if got := s.code(t, sign); got == "integrity" || got == "" {
		t.Fatalf("control: untouched files give %q", got)
	}
	for _, name := range []string{"state/trust", "state/tries", "state/profile", "keys/device-secret-1", "keys/device-key-1", "binding.json"} {
		path := filepath.Join(x.dir, "terminal", name)
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		places := []int{0, len(good) / 2, len(good) - 1}
		if name == "binding.json" {
			places = places[:1] // a value in it is checked by the handshake it is for
		}
		for _, at := range places {
			bad := bytes.Clone(good)
			bad[at] ^= 0x10
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			if got := s.code(t, sign); got != "integrity" {
				t.Errorf("%s, byte %d: %q, want integrity", name, at, got)
			}
		}
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.must(t, x.sign("answers"))
	if st := x.status(t); st.Used != 0 || st.Server == nil || st.Server.Used != 0 {
		t.Errorf("tries were counted: %+v, server %+v", st, st.Server)
	}
}

// A ticket whose key was changed enrols nobody; the untouched one still does.
func TestChangedTicket(t *testing.T) {
	s := newSite(t, builtBinary(t), "warn")
	x, provision := s.newTerminal(t)
	ticket := provision.args[1]
	good, err := os.ReadFile(ticket)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(good, []byte(`"key": "`)) + len(`"key": "`)
	bad := bytes.Clone(good)
	bad[at] = "10"[bad[at]&1] // another hex digit
	if bad[at] == good[at] {
		bad[at] = '2'
	}
	if err := os.WriteFile(ticket, bad, 0o600); err != nil {
		t.Fatal(err)
	}
	changed := provision
	changed.args = append(changed.args, "--json")
	if got := s.code(t, changed); got != "refused" {
		t.Errorf("changed key: %q, want refused", got)
	}
	if err := os.WriteFile(ticket, good, 0o600); err != nil {
		t.Fatal(err)
	}
	s.must(t, provision)
	s.must(t, x.init("5"))
}

// A changed database is noticed when it is opened or first read, and never
// served as something else.
// req: G-7.9-09
func TestChangedDatabase(t *testing.T) {
	s := newSite(t, builtBinary(t), "warn", "--backend", "memory")
	x := s.terminal(t)
	s.must(t, x.init("5"))
	s.stop(t)
	path := filepath.Join(s.dir, "ss-cc", "db", "log")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	serve := run{dir: s.dir, fd3: s.file("password"), args: []string{"ss-cc", "serve", "--listen", "127.0.0.1:0", "--until-stdin-ends", "--unseal-fd", "3", "--json"}}
	for _, part := range []int{20, 40, 60, 80} {
		bad := bytes.Clone(good)
		bad[len(bad)*part/100] ^= 1
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := s.code(t, serve); got != "corrupt" {
			t.Errorf("a bit at %d %% of the log: %q, want corrupt", part, got)
		}
	}
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	s.start(t)
	s.must(t, x.sign("answers"))
}

// code runs a command with --json and returns the code of its error; "" when
// it succeeded.
func (s *site) code(t *testing.T, r run) string {
	t.Helper()
	res := s.run(t, r)
	if res.status == 0 {
		return ""
	}
	var o struct{ Error struct{ Code string } }
	if err := json.Unmarshal([]byte(res.out), &o); err != nil {
		t.Fatalf("standard output is no object: %v\n%s", err, res)
	}
	return o.Error.Code
}
