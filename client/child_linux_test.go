package client

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// child becomes the process that is looked at, if this one was started as it.
func child() {
	switch os.Getenv(zeroiseMode) {
	case "":
	case "samples", "samples-control":
		samplesChild()
	case "agent":
		agentChild()
	default:
		zeroiseChild()
	}
}

// startChild starts a child that ends, and is waited for, with the test.
func startChild(t *testing.T, cmd *exec.Cmd) (in io.WriteCloser, out io.Reader) {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if out, err = cmd.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	return in, out
}

// children lists the processes that process pid started.
func children(pid int) (out []int) {
	list, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, f := range list {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		if part := strings.Fields(rest); len(part) > 1 && part[1] == strconv.Itoa(pid) {
			n, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
			out = append(out, n)
		}
	}
	return out
}
