//go:build linux

package probes

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A child of these tests reports its findings for each line it reads.
func TestMain(m *testing.M) {
	if os.Getenv("KEPOSS_PROBE_CHILD") == "" {
		os.Exit(m.Run())
	}
	if os.Getenv("KEPOSS_PROBE_CHILD") == "hard" {
		if err := Harden(); err != nil {
			os.Exit(3)
		}
	}
	o := Options{Level: 2, Dirs: []string{os.Getenv("KEPOSS_PROBE_DIR")}}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var bad []string
		for _, f := range Run(context.Background(), System(), o) {
			if f.Verdict == Bad || f.Verdict == Unknown {
				bad = append(bad, f.ID)
			}
		}
		fmt.Println(strings.Join(bad, " "))
	}
	os.Exit(0)
}

type kid struct {
	t   *testing.T
	cmd *exec.Cmd
	in  *bufio.Writer
	out *bufio.Scanner
}

func start(t *testing.T, exe string, env ...string) *kid {
	t.Helper()
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), append([]string{"KEPOSS_PROBE_CHILD=hard", "KEPOSS_PROBE_DIR=" + t.TempDir()}, env...)...)
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
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	return &kid{t, cmd, bufio.NewWriter(in), bufio.NewScanner(out)}
}

// says is what the child finds now, without P-11, which is this machine's.
func (k *kid) says() string {
	k.t.Helper()
	_, _ = k.in.WriteString("\n")
	_ = k.in.Flush()
	if !k.out.Scan() {
		k.t.Fatal("the child ended")
	}
	return strings.TrimSpace(strings.ReplaceAll(k.out.Text(), "P-11", ""))
}

// copyOf is the test program under another path, with the mode asked for.
func copyOf(t *testing.T, mode os.FileMode) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "probe")
	if err := os.WriteFile(path, b, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// This machine passes the linux profile, and each real disturbance is found.
// req: K-11-02, K-5.3-06, P-02, P-03, P-07, P-15
func TestRealSystem(t *testing.T) {
	exe := copyOf(t, 0o755)
	if got := start(t, exe).says(); got != "" {
		t.Fatalf("a plain machine fails %s", got)
	}
	if got := start(t, exe, "LD_PRELOAD=/nonexistent.so").says(); got != "P-03" {
		t.Errorf("LD_PRELOAD: %q", got)
	}
	if got := start(t, copyOf(t, 0o777)).says(); got != "P-15" {
		t.Errorf("mode 0777: %q", got)
	}
	if got := start(t, exe, "KEPOSS_PROBE_CHILD=soft").says(); got != "P-02" {
		t.Errorf("not hardened: %q", got)
	}
	loose := t.TempDir()
	if err := os.Chmod(loose, 0o777); err != nil {
		t.Fatal(err)
	}
	if got := start(t, exe, "KEPOSS_PROBE_DIR="+loose).says(); got != "P-07" {
		t.Errorf("a folder anybody may change: %q", got)
	}
}

// A debugger attached from outside is seen.
// req: P-01
func TestTraced(t *testing.T) {
	k := start(t, copyOf(t, 0o755), "KEPOSS_PROBE_CHILD=soft")
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pid := k.cmd.Process.Pid
	if err := syscall.PtraceAttach(pid); err != nil {
		t.Skipf("ptrace is not allowed here: %v", err)
	}
	var st syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &st, 0, nil); err != nil {
		t.Fatal(err)
	}
	if err := syscall.PtraceCont(pid, 0); err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 1)
	go func() { got <- k.says() }()
	late := time.Now().Add(20 * time.Second)
	for { // the tracer passes on every signal the child stops at
		select {
		case s := <-got:
			if !strings.Contains(s, "P-01") {
				t.Errorf("traced: %q", s)
			}
			_ = k.cmd.Process.Kill()
			return
		case <-time.After(time.Millisecond):
		}
		if n, _ := syscall.Wait4(pid, &st, syscall.WNOHANG, nil); n == pid && st.Stopped() {
			sig := int(st.StopSignal())
			if st.StopSignal() == syscall.SIGSTOP {
				sig = 0 // the attachment's own, when another signal came before it; passed on it would stop the child for good
			}
			_ = syscall.PtraceCont(pid, sig)
		}
		if time.Now().After(late) {
			_ = k.cmd.Process.Kill()
			t.Skip("the traced child does not answer here")
		}
	}
}

// One byte of code changed in memory, as a breakpoint does, is seen.
// req: P-10
func TestPatchedText(t *testing.T) {
	k := start(t, copyOf(t, 0o755), "KEPOSS_PROBE_CHILD=soft")
	k.says()
	pid := k.cmd.Process.Pid
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	var at int64
	for _, line := range strings.Split(string(maps), "\n") {
		if strings.Contains(line, " r-xp ") && strings.HasSuffix(line, "/probe") {
			var lo, hi int64
			_, _ = fmt.Sscanf(line, "%x-%x", &lo, &hi)
			at = hi - 1 // behind the last function: nobody executes it
		}
	}
	mem, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		t.Skipf("memory of a child cannot be written here: %v", err)
	}
	defer mem.Close()
	if _, err := mem.WriteAt([]byte{0xcc}, at); err != nil {
		t.Skipf("memory of a child cannot be written here: %v", err)
	}
	if got := k.says(); !strings.Contains(got, "P-10") {
		t.Errorf("patched: %q", got)
	}
}
