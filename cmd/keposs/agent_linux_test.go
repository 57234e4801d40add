package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/keposs/keposs/client"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/internal/testenv"
)

// agentProcess is `keposs agent` as it is run.
type agentProcess struct {
	client.AgentReady
	cmd *exec.Cmd
}

// agent starts one for the terminal and waits until it serves; cred is who it
// runs as, nil for this user.
func (x *terminal) agent(t testing.TB, cred *syscall.Credential, args ...string) *agentProcess {
	t.Helper()
	a := &agentProcess{cmd: exec.Command(x.bin, append([]string{"--dir", x.dir, "agent", "--json"}, args...)...)}
	a.cmd.Env = x.env()
	a.cmd.Stderr = x.log
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	out, err := a.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err == nil {
		err = json.Unmarshal([]byte(line), &a.AgentReady)
	}
	if err != nil {
		_ = a.cmd.Process.Kill()
		_ = a.cmd.Wait()
		t.Fatalf("keposs agent said %q, %v\n%s", line, err, x.logged(t))
	}
	t.Cleanup(func() { a.stop() })
	return a
}

// stop ends it as an operator does.
func (a *agentProcess) stop() error {
	if a.cmd.ProcessState != nil {
		return nil
	}
	_ = a.cmd.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(30*time.Second, func() { _ = a.cmd.Process.Kill() })
	defer late.Stop()
	return a.cmd.Wait()
}

// person answers PIN and gesture; a wrong one knows another PIN.
func person(pin string) client.Prompter {
	return client.PrompterFunc(func(_ context.Context, q client.Prompt) (client.Sample, error) {
		if q.Kinds[0] == client.SamplePattern {
			return client.NewSample(q.Kinds[0], []byte(siteGesture)), nil
		}
		return client.NewSample(q.Kinds[0], []byte(pin)), nil
	})
}

// cheap2 is a level-2 profile that costs a test little.
func cheap2() client.Profile {
	p := client.DefaultProfile()
	p.Level, p.SlowFloor = 2, 1024
	return p
}

// A level-2 terminal lives in the agent's process: what is initialised through
// it opens nowhere else, the app holds no memory of it, commands find it by the
// data folder, PPD from a descriptor is refused, weak policies too, and what was
// served stands in the terminal's log.
// req: K-6.1-00b, K-12.1-L2a, X-05, G-7.6-03, K-15.4-02a, K-3-02
func TestAgentLevel2(t *testing.T) {
	s := newSite(t, builtBinary(t), "warn")
	x := s.terminal(t)
	a := x.agent(t, nil)
	open := func(p client.Prompter) *client.Client {
		c, err := client.Open(t.Context(), client.Options{Agent: a.Socket, Prompter: p, Profile: cheap2()})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := open(person(sitePIN))
	_, err := c.Initialize(t.Context(), client.InitRequest{Policy: "pin"})
	if !errors.Is(err, core.Policy) || !strings.Contains(err.Error(), "10^") && !strings.Contains(err.Error(), "1/") && !strings.Contains(err.Error(), "2^") {
		t.Errorf("a PIN alone at level 2: %v; want the arithmetic", err)
	}
	u, err := c.Initialize(t.Context(), client.InitRequest{})
	if err != nil {
		t.Fatalf("%v\n%s", err, s.logged(t))
	}
	st, err := c.Status(t.Context(), true)
	if err != nil || st.Profile.Level != 2 || st.User != u.ID || st.ServerErr != nil {
		t.Fatalf("status %+v, %v", st, err)
	}
	if a.PID == os.Getpid() || a.PID != a.cmd.Process.Pid {
		t.Errorf("the module runs in process %d", a.PID)
	}
	if shared := sharedMemory(t, os.Getpid(), a.PID); len(shared) > 0 {
		t.Errorf("app and agent share writable memory: %v", shared)
	}
	if _, err := c.Sign(t.Context(), client.SignRequest{Message: []byte("m")}); err != nil {
		t.Errorf("sign: %v", err)
	}
	if _, err := open(person("314159")).Sign(t.Context(), client.SignRequest{Message: []byte("m")}); !errors.Is(err, client.Auth) {
		t.Errorf("a wrong PIN: %v", err)
	}
	// Commands find the agent by the folder.
	if err := os.WriteFile(s.file("m"), []byte("m"), 0o600); err != nil {
		t.Fatal(err)
	}
	x.must(t, run{dir: x.dir, args: []string{"encrypt", s.file("m"), "--out", s.file("m.sm2")}})
	if got := x.status(t); got.State != "USER" || got.Used != 1 {
		t.Errorf("keposs status: %+v", got)
	}
	r := x.run(t, run{dir: x.dir, fd3: s.file("answers"), args: []string{"sign", s.file("m"), "--ppd-fd", "3"}})
	if r.status != 7 || !strings.Contains(r.errs, "level 2") {
		t.Errorf("PPD from a descriptor: %s", r)
	}
	var view client.AgentView
	x.object(t, &view, run{dir: x.dir, args: []string{"agent", "status", "--json"}})
	if view.PID != a.PID || view.Level != 2 || !view.Hardened || view.Events == 0 || view.State != "USER" {
		t.Errorf("agent status %+v", view)
	}
	if err := a.stop(); err != nil {
		t.Errorf("the agent ended with %v\n%s", err, s.logged(t))
	}
	// Without it nothing opens, and the error says what to start.
	r = x.run(t, run{dir: x.dir, args: []string{"status"}})
	if r.status != 11 || !strings.Contains(r.errs, "keposs agent") {
		t.Errorf("a level-2 terminal in the command's own process: %s", r)
	}
	if _, err := client.Open(t.Context(), client.Options{Dir: filepath.Join(x.dir, "terminal"), InProcess: true}); !errors.Is(err, core.Unsupported) || !strings.Contains(err.Error(), "keposs agent") {
		t.Errorf("a level-2 terminal in an app: %v", err)
	}
	var log struct{ Events []struct{ Kind, Code string } }
	x.object(t, &log, run{dir: x.dir, args: []string{"audit", "show", "--json"}})
	var told []string
	for _, e := range log.Events {
		told = append(told, strings.TrimSpace(e.Kind+" "+e.Code))
	}
	for _, want := range []string{"start", "initialize policy", "initialize", "sign", "sign auth", "encrypt", "stop"} {
		if !slices.Contains(told, want) {
			t.Errorf("the log does not tell %q: %v", want, told)
		}
	}
	if out := x.must(t, run{dir: x.dir, args: []string{"audit", "verify"}}); !strings.HasPrefix(out, "intact: ") {
		t.Errorf("audit verify: %s", out)
	}
	// One changed byte: the log is not intact, and no agent starts over it.
	events := filepath.Join(x.dir, "terminal", "audit", "events-000000000000")
	b, err := os.ReadFile(events)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-10] ^= 1
	if err := os.WriteFile(events, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := x.run(t, run{dir: x.dir, args: []string{"audit", "verify"}}); r.status != 1 || !strings.Contains(r.out, "NOT intact") {
		t.Errorf("a changed log: %s", r)
	}
	if r := x.run(t, run{dir: x.dir, args: []string{"agent"}}); r.status != 8 {
		t.Errorf("an agent over a changed log: %s", r)
	}
}

// sharedMemory lists what two processes have mapped both writable and shared.
func sharedMemory(t testing.TB, pids ...int) (out []string) {
	t.Helper()
	seen := map[string]int{}
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
		if err != nil {
			t.Fatal(err)
		}
		own := map[string]bool{}
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			if len(f) >= 5 && strings.HasPrefix(f[1], "rw") && strings.HasSuffix(f[1], "s") && f[4] != "0" {
				own[f[3]+" "+f[4]] = true
			}
		}
		for id := range own {
			if seen[id]++; seen[id] == len(pids) {
				out = append(out, id)
			}
		}
	}
	return out
}

// An agent serves its own user only: another is refused by the kernel's word,
// hears nothing of the terminal, and the refusal is written down. An app gives
// nothing to an agent of another user.
// req: K-6.1-00b, G-7.6-03
func TestAgentOfAnotherUser(t *testing.T) {
	testenv.NeedLevel(t, 1)
	if os.Getuid() != 0 {
		t.Skip("needs to run processes of two users")
	}
	const nobody = 65534
	s := newSite(t, builtBinary(t), "warn")
	x := s.terminal(t)
	// The terminal is nobody's; nobody runs a copy of the program.
	open, err := os.MkdirTemp("", "keposs-agent-") // t.TempDir's parent is closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(open) })
	dir := filepath.Join(open, "data")
	bin := filepath.Join(open, "keposs")
	self, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = errors.Join(os.WriteFile(bin, self, 0o755), os.Chmod(open, 0o755), os.CopyFS(filepath.Join(dir, "terminal"), os.DirFS(filepath.Join(x.dir, "terminal"))))
	}
	if err == nil {
		err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			mode := os.FileMode(0o600)
			if err == nil && d.IsDir() {
				mode = 0o700
			}
			return errors.Join(err, os.Chmod(path, mode), os.Chown(path, nobody, nobody))
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	other := *s
	other.bin, other.temp = bin, os.TempDir()
	y := &terminal{site: &other, dir: dir}
	a := y.agent(t, &syscall.Credential{Uid: nobody, Gid: nobody})
	if _, err := client.Open(t.Context(), client.Options{Agent: a.Socket}); !errors.Is(err, client.Refused) {
		t.Errorf("the app trusts another user's agent: %v", err)
	}
	conn, err := net.Dial("unix", a.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := conn.Write(append([]byte{1, 0, 0, 0, 28}, `{"version":1,"verb":"state"}`...)); err != nil && !errors.Is(err, syscall.EPIPE) {
		t.Fatal(err)
	}
	said, _ := io.ReadAll(conn)
	if !strings.Contains(string(said), "serves user 65534 only") || strings.Contains(string(said), "value") {
		t.Errorf("a stranger hears %q", said)
	}
	if err := a.stop(); err != nil {
		t.Errorf("the agent ended with %v\n%s", err, s.logged(t))
	}
	b, err := os.ReadFile(filepath.Join(dir, "terminal", "audit", "events-000000000000"))
	if err != nil || !strings.Contains(string(b), `"kind":"refused-peer","code":"refused"`) {
		t.Errorf("the log: %s, %v", b, err)
	}
}

// SIGTERM lets a service under way end and begins no other; SIGKILL leaves
// nothing that hinders the next agent.
// req: X-05
func TestAgentEnds(t *testing.T) {
	testenv.NeedLevel(t, 1)
	s := newSite(t, builtBinary(t), "warn")
	x := s.terminal(t)
	a := x.agent(t, nil)
	asked, told := make(chan struct{}, 9), make(chan struct{})
	slow := client.PrompterFunc(func(ctx context.Context, q client.Prompt) (client.Sample, error) {
		asked <- struct{}{}
		<-told
		return person(sitePIN).Ask(ctx, q)
	})
	c, err := client.Open(t.Context(), client.Options{Agent: a.Socket, Prompter: slow, Profile: cheap2()})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := c.Initialize(t.Context(), client.InitRequest{})
		ended <- err
	}()
	<-asked
	_ = a.cmd.Process.Signal(syscall.SIGTERM)
	for { // until it accepts no more
		conn, err := net.Dial("unix", a.Socket)
		if err != nil {
			break
		}
		_ = conn.Close()
		time.Sleep(5 * time.Millisecond)
	}
	close(told)
	if err := <-ended; err != nil {
		t.Errorf("the service that was under way: %v", err)
	}
	if err := a.stop(); err != nil {
		t.Errorf("it ended with %v\n%s", err, s.logged(t))
	}
	a = x.agent(t, nil)
	if a.Level != 2 || a.State != "USER" {
		t.Errorf("the next agent serves %+v", a.AgentReady)
	}
	_ = a.cmd.Process.Kill()
	_ = a.cmd.Wait()
	a = x.agent(t, nil)
	if c, err = client.Open(t.Context(), client.Options{Agent: a.Socket, Prompter: person(sitePIN)}); err == nil {
		_, err = c.Sign(t.Context(), client.SignRequest{Message: []byte("m")})
	}
	if err != nil {
		t.Errorf("after a kill: %v", err)
	}
}
