package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keposs/keposs/core/sm"
)

// keposs is the program itself, without a terminal and without standard input.
func keposs(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, args...)
	cmd.Args[0] = "keposs"
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
	return cmd
}

// quickstart as a program calls it: one object on standard output, progress
// elsewhere, files other programs can read, nothing left running.
// req: K-7.1-00, K-7.2-02, K-7.3-01, K-15.6-01, K-5.1-03
func TestQuickstart(t *testing.T) {
	adopt(t)
	before := descendants(t, os.Getpid())
	dir := filepath.Join(t.TempDir(), "demo")
	cmd := keposs(t, "quickstart", "--dir", dir, "--json")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	noOrphans(t, before, 0)
	var res struct {
		OK     bool
		UserID string `json:"user_id"`
		Policy string
		Steps  []struct{ Part, Clause, Text string }
		Out    struct{ Message, Signature, Key string }
	}
	d := json.NewDecoder(&stdout)
	if err := d.Decode(&res); err != nil || d.More() {
		t.Fatalf("standard output is not one object: %v", err)
	}
	if !res.OK || len(res.UserID) != 32 || res.Policy != "pin & gesture & fingerprint & face" {
		t.Errorf("ok %t, user %q, policy %q", res.OK, res.UserID, res.Policy)
	}
	var clauses []string
	for _, s := range res.Steps {
		clauses = append(clauses, s.Clause)
	}
	for _, want := range []string{"7.1 (1)", "7.1 (2)", "7.1 (3)", "7.1 (4)", "7.1 (5)", "7.1 (6)", "7.1 (7)", "7.1 (8)", "7.1 (9)", "7.1 (10)", "7.2 (1)", "7.2 (8)", "7.3 (1)", "7.3 (2)", "7.3 (3)"} {
		if !slices.Contains(clauses, want) {
			t.Errorf("no step %s", want)
		}
	}
	for _, want := range []string{"7.1 (10)", "LOCKED", "unlocked by the administrator", "no plaintext"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("the progress does not show %q", want)
		}
	}
	checkOut(t, res.Out.Message, res.Out.Signature, res.Out.Key)
	if want := filepath.Join(dir, "out", "message.txt"); res.Out.Message != want {
		t.Errorf("message in %s, want %s", res.Out.Message, want)
	}
	second := keposs(t, "quickstart", "--dir", dir)
	if out, err := second.CombinedOutput(); err == nil || !strings.Contains(string(out), "is not empty") {
		t.Errorf("a second run in the same folder: %v\n%s", err, out)
	}
}

// checkOut verifies the kept signature with our own code and with OpenSSL.
func checkOut(t *testing.T, message, signature, key string) {
	t.Helper()
	read := func(name string) []byte {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	pub, err := sm.ParsePEM(read(key))
	if err != nil {
		t.Fatal(err)
	}
	sig, err := sm.ParseSignatureDER(read(signature))
	if err != nil {
		t.Fatal(err)
	}
	if !sm.Verify(pub, read(message), []byte("1234567812345678"), sig) {
		t.Error("the kept signature does not verify")
	}
	if why := openssl3(); why != "" {
		t.Logf("not checked with OpenSSL: %s", why)
		return
	}
	out, err := exec.Command("openssl", "pkeyutl", "-verify", "-pubin", "-inkey", key, "-in", message, "-rawin", "-digest", "sm3",
		"-sigfile", signature, "-pkeyopt", "distid:1234567812345678").CombinedOutput()
	if err != nil {
		t.Errorf("OpenSSL: %v\n%s", err, out)
	}
}

// Interrupted at any time, quickstart leaves no process and no folder behind.
func TestQuickstartInterrupted(t *testing.T) {
	adopt(t)
	before := descendants(t, os.Getpid())
	cmd := keposs(t, "quickstart")
	tmp := t.TempDir()
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	buf := make([]byte, 4096)
	for !strings.Contains(said.String(), "7.1 (4)") {
		n, err := out.Read(buf)
		said.Write(buf[:n])
		if err != nil {
			t.Fatalf("it ended early: %v\n%s", err, said.String())
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := out.Read(buf); err != nil {
			break
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Error("interrupted, it claims success")
	}
	noOrphans(t, before, 0)
	left, err := filepath.Glob(filepath.Join(tmp, "keposs-quickstart-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// Killed outright, it cannot tidy up; its children end by themselves.
func TestQuickstartKilled(t *testing.T) {
	adopt(t)
	before := descendants(t, os.Getpid())
	cmd := keposs(t, "quickstart")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	buf := make([]byte, 4096)
	for !strings.Contains(said.String(), "7.1 (5)") {
		n, err := out.Read(buf)
		said.Write(buf[:n])
		if err != nil {
			t.Fatalf("it ended early: %v\n%s", err, said.String())
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	noOrphans(t, before, 10*time.Second)
}
