package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A site is an SS-CC with its administrator, run by a built keposs, for tests
// that kill processes or look into them.
type site struct {
	bin    string
	dir    string // data folder of SS-CC and the administrator
	temp   string // TMPDIR of everything
	addr   string // kept across restarts: terminals remember it
	log    *os.File
	server *exec.Cmd
	life   io.Closer
	level  string // --log
}

const (
	sitePassword = "correct horse battery"
	sitePIN      = "271828"
	siteGesture  = "1-6-7-2-9-4"
)

// builtBinary is the test binary under the name that makes it keposs (TestMain).
func builtBinary(t testing.TB) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(t.TempDir(), "keposs")
	if err := os.Symlink(self, bin); err != nil {
		t.Fatal(err)
	}
	return bin
}

// newSite sets SS-CC up with bin and more flags of init, starts it unsealed at
// a log level and logs the administrator in.
func newSite(t testing.TB, bin, level string, flags ...string) *site {
	t.Helper()
	s := &site{bin: bin, dir: filepath.Join(t.TempDir(), "site"), temp: t.TempDir(), addr: "127.0.0.1:0", level: level}
	for name, text := range map[string]string{
		"password": sitePassword + "\n",
		"answers":  "pin=" + sitePIN + "\ngesture=" + siteGesture + "\n",
		"wrong":    "pin=314159\ngesture=" + siteGesture + "\n",
	} {
		if err := os.WriteFile(s.file(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if s.log, err = os.Create(s.file("log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.stop(t)
		_ = s.log.Close()
	})
	s.must(t, run{dir: s.dir, fd3: s.file("password"), args: append([]string{"ss-cc", "init", "--password-fd", "3"}, flags...)})
	s.start(t)
	return s
}

// file is beside the data folders: inputs and logs of the test itself.
func (s *site) file(name string) string { return filepath.Join(filepath.Dir(s.dir), name) }

// start runs SS-CC with more environment, waits until it serves and logs the
// administrator in.
func (s *site) start(t testing.TB, env ...string) {
	t.Helper()
	password, err := os.Open(s.file("password"))
	if err != nil {
		t.Fatal(err)
	}
	defer password.Close()
	cmd := exec.Command(s.bin, "--dir", s.dir, "ss-cc", "serve", "--listen", s.addr, "--json", "--until-stdin-ends", "--unseal-fd", "3", "--log", s.level)
	cmd.Env = append(s.env(), env...)
	cmd.ExtraFiles = []*os.File{password}
	cmd.Stderr = s.log
	life, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	var ready struct{ Listening, State string }
	if err == nil {
		err = json.Unmarshal([]byte(line), &ready)
	}
	if err != nil || ready.State != "SERVING" {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		t.Fatalf("ss-cc serve said %q, %v\n%s", line, err, s.logged(t))
	}
	s.server, s.life, s.addr = cmd, life, ready.Listening
	s.login(t) // the password at start ended the session before
}

// stop lets SS-CC end and reaps it; a killed one is only reaped.
func (s *site) stop(t testing.TB) {
	t.Helper()
	if s.server == nil {
		return
	}
	_ = s.life.Close()
	late := time.AfterFunc(20*time.Second, func() { _ = s.server.Process.Kill() })
	_ = s.server.Wait()
	late.Stop()
	s.server = nil
}

// restart replaces an SS-CC, living or killed, and logs the administrator in.
func (s *site) restart(t testing.TB, env ...string) {
	t.Helper()
	s.stop(t)
	s.start(t, env...)
}

func (s *site) logged(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile(s.file("log"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b[max(0, len(b)-4000):])
}

// env is what commands see; nothing of the caller's settings of keposs.
func (s *site) env() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "TMPDIR=" + s.temp}
}

func (s *site) login(t testing.TB) {
	t.Helper()
	s.must(t, run{dir: s.dir, fd3: s.file("password"), args: []string{"admin", "login", "--password-fd", "3"}})
}

// A run is one command line.
type run struct {
	dir  string // --dir
	fd3  string // file behind descriptor 3; "" = none
	env  []string
	args []string
}

// A result is what a command said and how it ended.
type result struct {
	out, errs string
	status    int  // exit status; -1 after a signal
	killed    bool // by SIGKILL
}

func (r result) String() string {
	return fmt.Sprintf("status %d, killed %v\nstdout: %s\nstderr: %s", r.status, r.killed, r.out, r.errs)
}

func (s *site) run(t testing.TB, r run) result {
	t.Helper()
	cmd := exec.Command(s.bin, append([]string{"--dir", r.dir}, r.args...)...)
	cmd.Env = append(s.env(), r.env...)
	if r.fd3 != "" {
		f, err := os.Open(r.fd3)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		cmd.ExtraFiles = []*os.File{f}
	}
	// Files, not pipes: a plugin that outlives its host must not hold the test.
	var files [2]*os.File
	for i := range files {
		f, err := os.CreateTemp(filepath.Dir(s.dir), "output-*")
		if err != nil {
			t.Fatal(err)
		}
		defer os.Remove(f.Name())
		defer f.Close()
		files[i] = f
	}
	cmd.Stdout, cmd.Stderr = files[0], files[1]
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(2*time.Minute, func() { _ = cmd.Process.Signal(syscall.SIGABRT) })
	_ = cmd.Wait()
	late.Stop()
	res := result{status: cmd.ProcessState.ExitCode()}
	if w, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok {
		res.killed = w.Signaled() && w.Signal() == syscall.SIGKILL
	}
	for i, to := range []*string{&res.out, &res.errs} {
		b, err := os.ReadFile(files[i].Name())
		if err != nil {
			t.Fatal(err)
		}
		*to = string(b)
	}
	return res
}

// must runs a command that has to succeed and returns its standard output.
func (s *site) must(t testing.TB, r run) string {
	t.Helper()
	res := s.run(t, r)
	if res.status != 0 {
		t.Fatalf("keposs %s: %s\nSS-CC: %s", strings.Join(r.args, " "), res, s.logged(t))
	}
	return res.out
}

// object runs a command with --json and decodes what it prints.
func (s *site) object(t testing.TB, v any, r run) {
	t.Helper()
	r.args = append(r.args, "--json")
	out := s.must(t, r)
	d := json.NewDecoder(bytes.NewReader([]byte(out)))
	if err := d.Decode(v); err != nil || d.More() {
		t.Fatalf("keposs %s: standard output is not one object: %v\n%s", strings.Join(r.args, " "), err, out)
	}
}

// terminal is a provisioned terminal of an app of its own.
type terminal struct {
	*site
	app, dir string
}

func (s *site) terminal(t testing.TB) *terminal {
	t.Helper()
	x, provision := s.newTerminal(t)
	s.must(t, provision)
	return x
}

// newTerminal is one that still wants to be provisioned.
func (s *site) newTerminal(t testing.TB) (*terminal, run) {
	t.Helper()
	var app struct{ ID string }
	s.object(t, &app, run{dir: s.dir, args: []string{"admin", "app", "create", "test"}})
	x := &terminal{site: s, app: app.ID, dir: t.TempDir()}
	ticket := filepath.Join(t.TempDir(), "ticket")
	s.must(t, run{dir: s.dir, args: []string{"admin", "ticket", app.ID, "--out", ticket}})
	return x, run{dir: x.dir, args: []string{"provision", ticket}}
}

// init and sign are the commands tests kill.
func (x *terminal) init(limit string) run {
	return run{dir: x.dir, fd3: x.file("answers"), args: []string{"init", "--min-iterations", "1024", "--limit", limit, "--ppd-fd", "3"}}
}

func (x *terminal) sign(answers string) run {
	return run{dir: x.dir, fd3: x.file(answers), args: []string{"sign", x.file("answers"), "--out", filepath.Join(x.dir, "sig"), "--ppd-fd", "3"}}
}

// users are those of this terminal's app that still have keys at SS-CC.
func (x *terminal) users(t testing.TB) (ids []string) {
	t.Helper()
	var list struct {
		Users []struct{ ID, App, State string }
	}
	x.object(t, &list, run{dir: x.site.dir, args: []string{"admin", "user", "list"}})
	for _, u := range list.Users {
		if u.App == x.app && (u.State == "active" || u.State == "locked") {
			ids = append(ids, u.ID)
		}
	}
	return ids
}

// state is what `keposs status` knows.
type state struct {
	State  string
	UserID string `json:"user_id"`
	Used   uint32 `json:"tries_used"`
	Server *struct {
		Used   uint32 `json:"tries_used"`
		Locked bool
	}
}

func (x *terminal) status(t testing.TB) (st state) {
	t.Helper()
	x.object(t, &st, run{dir: x.dir, args: []string{"status"}})
	return st
}
