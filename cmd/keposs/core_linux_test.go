package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A process of keposs that is made to abort leaves no core file, whatever limit
// it was started under and whatever its runtime was told.
// req: P-02, K-15.5-03a
func TestNoCoreFile(t *testing.T) {
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &was); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: was.Max, Max: was.Max}); err != nil || was.Max == 0 {
		t.Skipf("this process may not ask for core files: %v, at most %d bytes", err, was.Max)
	}
	defer func() { _ = unix.Setrlimit(unix.RLIMIT_CORE, &was) }()
	dumped := func(cmd *exec.Cmd) bool {
		cmd.Dir = t.TempDir()
		err := cmd.Run()
		if cmd.ProcessState == nil {
			t.Fatal(err)
		}
		files, _ := filepath.Glob(filepath.Join(cmd.Dir, "core*"))
		st, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
		if !ok || !st.Signaled() {
			t.Fatalf("it ended with %v", cmd.ProcessState)
		}
		return st.CoreDump() || len(files) > 0
	}
	if !dumped(exec.Command("sh", "-c", "kill -ABRT $$")) {
		t.Log("control: the system writes no core files at all")
	}
	// A command that waits for a line; then it is told to abort.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	cmd := exec.Command(builtBinary(t), "ss-cc", "init", "--dir", t.TempDir(), "--password-fd", "3")
	cmd.ExtraFiles = []*os.File{r}
	cmd.Env = append(os.Environ(), "GOTRACEBACK=crash")
	cmd.Dir = t.TempDir()
	errs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	if _, err := w.WriteString("half a pass"); err != nil { // it is there, and waits for the rest
		t.Fatal(err)
	}
	var limit unix.Rlimit
	for range 200 { // until main has begun
		if err := unix.Prlimit(cmd.Process.Pid, unix.RLIMIT_CORE, nil, &limit); err != nil || limit.Cur == 0 {
			break
		}
		unix.Nanosleep(&unix.Timespec{Nsec: 20_000_000}, nil)
	}
	if limit.Max != 0 {
		t.Errorf("it may write core files of %d bytes", limit.Max)
	}
	_ = cmd.Process.Signal(syscall.SIGABRT)
	said, _ := bufio.NewReader(errs).ReadString(0)
	_ = cmd.Wait()
	st, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	files, _ := filepath.Glob(filepath.Join(cmd.Dir, "core*"))
	if !ok || st.CoreDump() || len(files) > 0 {
		t.Errorf("a core file was written: %v %v", cmd.ProcessState, files)
	}
	if strings.Contains(said, "half a pass") {
		t.Error("the traceback holds what was entered")
	}
}
