//go:build linux

package plugins_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/plugins"
)

func supervise(t testing.TB, o plugins.Options) *plugins.Supervisor {
	t.Helper()
	s := plugins.NewSupervisor(o)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func source(t testing.TB, s *plugins.Supervisor, e plugins.Entry) core.Source {
	t.Helper()
	v, err := s.Source(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func builtin(name string) plugins.Entry { return plugins.Builtin(plugins.KindSource, name) }

// gone waits until the process of pid has ended, reaped or not.
func gone(t *testing.T, pid int, within time.Duration) {
	t.Helper()
	for end := time.Now().Add(within); ; time.Sleep(2 * time.Millisecond) {
		b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil {
			return
		}
		if rest := string(b[strings.LastIndexByte(string(b), ')')+1:]); strings.HasPrefix(rest, " Z") {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("process %d is there after %v", pid, within)
		}
	}
}

func enroll(t testing.TB, s core.Source, p core.Prompter) (string, string, error) {
	t.Helper()
	e, err := s.Enroll(t.Context(), core.EnrollRequest{Label: "x"}, p)
	if err != nil {
		return "", "", err
	}
	defer e.Secret.Wipe()
	return string(e.Secret.Bytes()), string(e.Helper), nil
}

// req: TK-08
func TestKillDuringCollection(t *testing.T) {
	sup := supervise(t, plugins.Options{})
	s := source(t, sup, builtin("echo"))
	token := secret.Copy([]byte("-token"))
	err := s.Configure(t.Context(), core.Config{Values: map[string]string{"format": "v7"}, Secrets: map[string]*secret.Buffer{"token": token}})
	if err != nil {
		t.Fatal(err)
	}
	token.Wipe()
	pid := sup.List()[0].PID
	asked := 0
	start := time.Now()
	_, err = s.Capture(t.Context(), core.CaptureRequest{}, core.PrompterFunc(func(ctx context.Context, _ core.Prompt) (core.Sample, error) {
		asked++
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
		<-ctx.Done() // the person is still typing when the plugin is gone
		return core.Sample{}, ctx.Err()
	}))
	if core.CodeOf(err) != core.Unavailable || asked != 1 || time.Since(start) > time.Second {
		t.Fatalf("asked %d times, ended after %v: %v", asked, time.Since(start), err)
	}
	got, helper, err := enroll(t, s, say("1234"))
	if err != nil || got != "1234" {
		t.Fatalf("after the crash: %v", err)
	}
	if helper != "v7-token" {
		t.Fatalf("the new process has settings %q", helper)
	}
	i := sup.List()[0]
	if i.PID == pid || i.Starts != 2 || i.State != plugins.StateRunning || !i.Sealed || i.Approved {
		t.Fatalf("info %+v", i)
	}
}

func TestKillBetweenCaptureAndRecover(t *testing.T) {
	sup := supervise(t, plugins.Options{})
	s := source(t, sup, builtin("echo"))
	c, err := s.Capture(t.Context(), core.CaptureRequest{}, say("1"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := syscall.Kill(sup.List()[0].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Recover(t.Context(), core.RecoverRequest{}); core.CodeOf(err) != core.Unavailable {
		t.Fatalf("recover: %v", err)
	}
}

func TestHostDeathLeavesNoOrphan(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), hostEnv+"=1", "TMPDIR="+t.TempDir()) // a killed host leaves its socket folder
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatalf("the host says %q", line)
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("the plugin is not there: %v", err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	gone(t, pid, time.Second)
}

func TestExitsAtEndOfStdin(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = []string{"KEPOSS_PLUGIN=source:echo", "KEPOSS_PLUGIN_COOKIE=6b65706f73732d706c7567696e2d3031", "PLUGIN_PROTOCOL_VERSIONS=1", "GORACE=atexit_sleep_ms=0"}
	in, err := cmd.StdinPipe()
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
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.HasPrefix(line, "1|1|unix|") {
		t.Fatalf("handshake %q: %v", line, err)
	}
	start := time.Now()
	_ = in.Close()
	if err := cmd.Wait(); err != nil || time.Since(start) > time.Second {
		t.Fatalf("ended after %v: %v", time.Since(start), err)
	}
}

func TestStartErrors(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("just text"), 0o700); err != nil {
		t.Fatal(err)
	}
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	wrong := plugins.File(os.Args[0], plugins.KindSource, "echo")
	wrong.Digest, wrong.Trust = [32]byte{1}, plugins.TrustLocal
	for _, c := range []struct {
		name   string
		entry  plugins.Entry
		reason error
		code   core.Code
		says   string
	}{
		{"exited early", builtin("die"), nil, core.Unavailable, "no licence for this sensor"},
		{"unknown name", builtin("missing"), nil, core.Unavailable, "no toy missing"},
		{"bad handshake", builtin("babble"), nil, core.Invalid, "hello, world"},
		{"no handshake", builtin("silent"), nil, core.Invalid, "closed without a line"},
		{"version", builtin("version"), nil, core.Unsupported, "1|9"},
		{"timeout", builtin("hang"), nil, core.Timeout, "no answer within"},
		{"nobody listens", builtin("nobody"), nil, core.Unavailable, "no answer"},
		{"digest", wrong, nil, core.Integrity, "pinned"},
		{"no such file", plugins.File("/nowhere/plugin", plugins.KindSource, "x"), nil, core.Invalid, "not executable"},
		{"no permission", plugins.File(plain, plugins.KindSource, "x"), nil, core.Invalid, "no execute permission"},
		{"no program", plugins.File(text, plugins.KindSource, "x"), nil, core.Invalid, "exec format"},
		{"a folder", plugins.File(t.TempDir(), plugins.KindSource, "x"), nil, core.Invalid, "no regular file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			sup := supervise(t, plugins.Options{Unpinned: true, Timeout: 700 * time.Millisecond})
			_, err := source(t, sup, c.entry).Describe(t.Context())
			var start *plugins.StartError
			if !errors.As(err, &start) || core.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("%v: %v", core.CodeOf(err), err)
			}
			if len(start.Stderr) > 4<<10 {
				t.Fatalf("%d bytes of standard error kept", len(start.Stderr))
			}
			if i := sup.List()[0]; i.PID != 0 || i.Err == nil {
				t.Fatalf("info %+v", i)
			}
		})
	}
}

// req: K-10.2.3-01
func TestUnpinnedFilesAreRefused(t *testing.T) {
	sup := supervise(t, plugins.Options{})
	if _, err := sup.Source(t.Context(), plugins.File(os.Args[0], plugins.KindSource, "echo")); core.CodeOf(err) != core.Integrity {
		t.Fatalf("a file nobody vouches for: %v", err)
	}
	e := plugins.File(os.Args[0], plugins.KindSource, "echo")
	e.Trust = plugins.TrustApproved
	if _, err := sup.Source(t.Context(), e); core.CodeOf(err) != core.Usage {
		t.Fatalf("trust without a digest: %v", err)
	}
}

// req: K-15-01a, P-09
func TestRunsWhatWasMeasured(t *testing.T) {
	exe := filepath.Join(t.TempDir(), "plugin")
	b, err := os.ReadFile(os.Args[0])
	if err == nil {
		err = os.WriteFile(exe, b, 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	sup := supervise(t, plugins.Options{Unpinned: true})
	s := source(t, sup, plugins.File(exe, plugins.KindSource, "echo"))
	if _, err := s.Describe(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := sup.List()[0]
	if err := os.WriteFile(exe, []byte("#!/bin/sh\nexit 9\n"), 0o700); err != nil {
		t.Fatal(err) // ETXTBSY here would mean that the file itself runs
	}
	_ = syscall.Kill(first.PID, syscall.SIGKILL)
	gone(t, first.PID, time.Second)
	if _, err := s.Describe(t.Context()); err != nil && core.CodeOf(err) != core.Unavailable {
		t.Fatalf("a call that may meet the crash: %v", err)
	}
	if got, _, err := enroll(t, s, say("77")); err != nil || got != "77" {
		t.Fatalf("after the file was replaced: %v", err)
	}
	if sup.List()[0].Digest != first.Digest {
		t.Fatal("the digest changed")
	}
}

// req: X-04
func TestEnvironmentIsNotLeaked(t *testing.T) {
	t.Setenv("KEPOSS_UNLOCK", "hunter2")
	t.Setenv("LD_PRELOAD_X", "x")
	sup := supervise(t, plugins.Options{})
	i, err := source(t, sup, builtin("envspy")).Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"PATH": true, "LANG": true, "LC_ALL": true, "LC_CTYPE": true, "TZ": true, "KEPOSS_PLUGIN": true, "KEPOSS_PLUGIN_COOKIE": true}
	for _, kv := range strings.Split(i.Version, "\x1f") {
		if k, _, _ := strings.Cut(kv, "="); !known[k] && !strings.HasPrefix(k, "PLUGIN_") {
			t.Errorf("the plugin sees %s", k)
		}
	}
	if !strings.Contains(i.Version, "KEPOSS_PLUGIN=source:envspy") {
		t.Error("the spy saw no environment at all")
	}
}

func TestCircuitOpens(t *testing.T) {
	var events []string
	sup := supervise(t, plugins.Options{Events: func(e plugins.Event) { events = append(events, e.What) }})
	s := source(t, sup, builtin("die"))
	for range 5 {
		if _, err := s.Describe(t.Context()); core.CodeOf(err) != core.Unavailable {
			t.Fatal(err)
		}
	}
	start := time.Now()
	_, err := s.Describe(t.Context())
	var e *core.Error
	if !errors.As(err, &e) || e.Code != core.Unavailable || e.After <= 0 || time.Since(start) > 50*time.Millisecond {
		t.Fatalf("after %v: %v", time.Since(start), err)
	}
	if i := sup.List()[0]; i.State != plugins.StateOpen || i.Starts != 0 {
		t.Fatalf("info %+v", i)
	}
	if events[len(events)-1] != "circuit open" {
		t.Fatalf("events %v", events)
	}
}

func TestCloseReaps(t *testing.T) {
	own := t.TempDir() // other packages' tests start plugins meanwhile
	t.Setenv("TMPDIR", own)
	sup := plugins.NewSupervisor(plugins.Options{})
	a, b := source(t, sup, builtin("echo")), source(t, sup, builtin("echo"))
	if err := sup.Warm(t.Context(), a, b); err != nil {
		t.Fatal(err)
	}
	infos := sup.List()
	if err := errors.Join(sup.Close(), sup.Close()); err != nil {
		t.Fatal(err)
	}
	for _, i := range infos {
		if err := syscall.Kill(i.PID, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("process %d: %v", i.PID, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(own, "keposs-*", "plugin-dir*")); len(left) > 0 {
		t.Errorf("socket folders left: %v", left)
	}
	if _, err := a.Describe(t.Context()); core.CodeOf(err) != core.Closed {
		t.Fatalf("after close: %v", err)
	}
	if _, err := sup.Source(t.Context(), builtin("echo")); core.CodeOf(err) != core.Closed {
		t.Fatalf("a new one after close: %v", err)
	}
}

func TestHangingCallEndsWithItsContext(t *testing.T) {
	sup := supervise(t, plugins.Options{})
	s := source(t, sup, builtin("echo"))
	if _, err := s.Describe(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := s.Enroll(ctx, core.EnrollRequest{Label: "sleep"}, say(""))
	if core.CodeOf(err) != core.Timeout || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 130*time.Millisecond {
		t.Fatalf("after %v: %v", time.Since(start), err)
	}
	if got, _, err := enroll(t, s, say("1")); err != nil || got != "1" {
		t.Fatalf("the next call: %v", err)
	}
	if sup.List()[0].Starts != 1 {
		t.Fatal("the plugin was started again")
	}
}

func TestPanicAndNoiseConcernOneCall(t *testing.T) {
	sup := supervise(t, plugins.Options{})
	s := source(t, sup, builtin("noisy"))
	for range 3 {
		if _, err := s.Enroll(t.Context(), core.EnrollRequest{Label: "noise"}, say("1")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Enroll(t.Context(), core.EnrollRequest{Label: "panic"}, say("")); core.CodeOf(err) != core.Internal {
		t.Fatalf("panic: %v", err)
	}
	if got, _, err := enroll(t, s, say("5")); err != nil || got != "5" || sup.List()[0].Starts != 1 {
		t.Fatalf("after the panic: %v", err)
	}
}

func TestMessageCap(t *testing.T) {
	sup := supervise(t, plugins.Options{})
	s := source(t, sup, builtin("echo"))
	big := core.PrompterFunc(func(context.Context, core.Prompt) (core.Sample, error) {
		return core.NewSample(core.SamplePIN, make([]byte, 4<<20)), nil
	})
	if _, _, err := enroll(t, s, big); core.CodeOf(err) != core.TooLarge {
		t.Fatalf("to the plugin: %v", err)
	}
	if _, err := s.Enroll(t.Context(), core.EnrollRequest{Label: "huge"}, say("")); core.CodeOf(err) != core.TooLarge {
		t.Fatalf("from the plugin: %v", err)
	}
	if got, _, err := enroll(t, s, say("5")); err != nil || got != "5" || sup.List()[0].Starts != 1 {
		t.Fatalf("afterwards: %v", err)
	}
}

func TestSensor(t *testing.T) {
	sup := supervise(t, plugins.Options{})
	s, err := sup.Sensor(t.Context(), plugins.Builtin(plugins.KindSensor, "cam"))
	if err != nil {
		t.Fatal(err)
	}
	i, err := s.Describe(t.Context())
	if err != nil || i.Model != "m1" || len(i.Samples) != 1 {
		t.Fatalf("%+v %v", i, err)
	}
	a, err := s.Sample(t.Context(), core.Prompt{Index: 1})
	if err != nil || a.Data.Len() != 9 || a.Model != "m1" {
		t.Fatal(err)
	}
	a.Data.Wipe()
	if _, err := s.Sample(t.Context(), core.Prompt{Index: 2}); !errors.Is(err, core.CaptureRefused) || !strings.Contains(err.Error(), "too dark") {
		t.Fatalf("a refused sample: %v", err)
	}
}

func TestWrongKindOrNameIsIntegrity(t *testing.T) {
	sup := supervise(t, plugins.Options{Unpinned: true})
	e := plugins.File(os.Args[0], plugins.KindSource, "echo")
	e.Env = []string{"KEPOSS_PLUGIN=sensor:cam"}
	if _, err := source(t, sup, e).Describe(t.Context()); core.CodeOf(err) != core.Integrity {
		t.Fatalf("another kind: %v", err)
	}
	e.Env = []string{"KEPOSS_PLUGIN=source:noisy"}
	if _, err := source(t, sup, e).Describe(t.Context()); core.CodeOf(err) != core.Integrity {
		t.Fatalf("another name: %v", err)
	}
}

// req: K-10.2.3-01, X-01, G-7.4-11, G-7.10-07
func TestSealedSetDoesNotGrow(t *testing.T) {
	sup := supervise(t, plugins.Options{Unpinned: true})
	before := source(t, sup, builtin("echo"))
	sup.Seal(builtin("noisy"))
	sup.Seal(builtin("envspy"))
	if _, _, err := enroll(t, before, say("1")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := enroll(t, source(t, sup, builtin("noisy")), say("1")); err != nil {
		t.Fatal(err)
	}
	moved := builtin("echo")
	moved.Path = os.Args[0]
	for _, e := range []plugins.Entry{builtin("envspy"), moved} {
		if _, err := sup.Source(t.Context(), e); core.CodeOf(err) != core.Integrity {
			t.Errorf("%s %s after the seal: %v", e.Name, e.Path, err)
		}
	}
}
