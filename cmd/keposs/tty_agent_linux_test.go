package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/keposs/keposs/client"
)

// A person signs at a terminal of their own through an agent at level 2: the
// command asks there, the agent signs, and nothing of what was typed is on the
// screen or in the agent's folder. A command in the background of the same
// terminal is refused before it asks.
// req: K-6.1-00b, K-15.4-02a, X-05, P-12, G-7.4-07
func TestSignAtTerminalThroughAgent(t *testing.T) {
	s := newSite(t, builtBinary(t), "warn")
	x := s.terminal(t)
	a := x.agent(t, nil)
	c, err := client.Open(t.Context(), client.Options{Agent: a.Socket, Prompter: person(sitePIN), Profile: cheap2()})
	if err == nil {
		_, err = c.Initialize(t.Context(), client.InitRequest{})
	}
	if err == nil {
		err = os.WriteFile(s.file("m"), []byte("m"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	sig := filepath.Join(x.dir, "sig")
	screen, out, err := typed(t, s, "--dir", x.dir, "sign", s.file("m"), "--out", sig)
	if err != nil {
		t.Fatalf("%v\n%s\nthe screen: %q", err, out, screen)
	}
	b, err := os.ReadFile(sig)
	if err == nil {
		var ok bool
		ok, _, err = c.Verify(t.Context(), client.VerifyRequest{Message: []byte("m"), Signature: b})
		if err == nil && !ok {
			t.Error("the signature does not verify")
		}
	}
	if err != nil {
		t.Error(err)
	}
	for what, text := range map[string]string{"the screen": screen, "the output": out} {
		if strings.Contains(text, sitePIN) || strings.Contains(text, siteGesture) {
			t.Errorf("%s shows what was entered: %q", what, text)
		}
	}
	told := x.must(t, run{dir: x.dir, args: []string{"audit", "show", "--json"}})
	if !strings.Contains(told, `"kind": "sign"`) || !strings.Contains(told, `"role": "user"`) {
		t.Errorf("the log: %s", told)
	}
	// Started in a process group of its own, it is not the terminal's foreground.
	screen, out, err = typed(t, s, "--dir", x.dir, "sign", s.file("m"), "--out", sig+".2", background)
	if err == nil || !strings.Contains(screen+out, "P-12") {
		t.Errorf("in the background: %v\n%s\nthe screen: %q", err, out, screen)
	}
	if strings.Contains(screen, "not shown") {
		t.Errorf("it asks in the background: %q", screen)
	}
}

// background, as the last argument of typed, is no argument: the command runs
// behind a shell that is the terminal's foreground.
const background = "&"

// typed runs a command at a terminal and answers PIN and gesture there.
func typed(t *testing.T, s *site, args ...string) (screen, out string, err error) {
	t.Helper()
	person, program := openTerminal(t)
	cmd := exec.Command(s.bin, args...)
	if args[len(args)-1] == background {
		// Job control puts it into a group of its own; the shell waits.
		cmd = exec.Command("sh", append([]string{"-c", `set -m; "$@" & wait $!`, "sh", s.bin}, args[:len(args)-1]...)...)
	}
	var rest bytes.Buffer
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = s.env(), program, &rest, &rest
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = program.Close()
	late := time.AfterFunc(2*time.Minute, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var shown, all bytes.Buffer
	buf := make([]byte, 4096)
	for {
		n, rerr := person.Read(buf)
		shown.Write(buf[:n])
		all.Write(buf[:n])
		switch text := shown.String(); {
		case strings.Contains(text, "(not shown; Esc cancels): "):
			shown.Reset()
			time.Sleep(100 * time.Millisecond) // echo is off by then
			_, _ = person.WriteString(sitePIN + "\r")
		case strings.Contains(text, "esc cancel"):
			shown.Reset()
			_, _ = person.WriteString(strings.ReplaceAll(siteGesture, "-", "") + "\r")
		}
		if rerr != nil {
			break
		}
	}
	err = <-ended
	return all.String(), rest.String(), err
}
