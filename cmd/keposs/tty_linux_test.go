package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/keposs/keposs/internal/testenv"
)

// openTerminal makes a pseudo-terminal: the person's side, and the program's.
func openTerminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { _ = person.Close() })
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(int(person.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: 120})
	}
	if err == nil {
		program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err != nil {
		t.Skipf("no pseudo-terminal: %v", err)
	}
	return person, program
}

// entered is what a person was asked at a terminal, and what it showed.
type entered struct {
	pins, gestures int
	screen         string
}

// enter runs cmd at a terminal of its own, where a person answers every
// question for a PIN and for a gesture. err is how the command ended.
func enter(t *testing.T, cmd *exec.Cmd) (e entered, err error) {
	t.Helper()
	person, program := openTerminal(t)
	cmd.Stdin = program
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = program.Close()
	var shown, all bytes.Buffer
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	screen := make(chan []byte)
	go func() {
		defer close(screen)
		for {
			buf := make([]byte, 4096)
			n, err := person.Read(buf)
			if n > 0 {
				screen <- buf[:n]
			}
			if err != nil {
				return
			}
		}
	}()
	late := time.After(5 * time.Minute)
	for open := true; open; {
		select {
		case b, ok := <-screen:
			open = ok
			shown.Write(b)
			all.Write(b)
		case <-late:
			_ = cmd.Process.Kill()
			t.Fatalf("it hangs after %d PINs and %d gestures; the screen: %q\n%v", e.pins, e.gestures, shown.String(), cmd.Stderr)
		}
		text := shown.String()
		switch {
		case strings.Contains(text, "(not shown; Esc cancels): "):
			e.pins++
			shown.Reset()
			_, _ = person.WriteString(sitePIN + "\r")
		case strings.Contains(text, "esc cancel"):
			e.gestures++
			shown.Reset()
			_, _ = person.WriteString(strings.ReplaceAll(siteGesture, "-", "") + "\r")
		}
	}
	e.screen = all.String()
	return e, <-ended
}

// A person at a terminal is asked for PIN and gesture, twice each at first and
// once for every use; what they enter is not shown.
// req: G-7.4-07
func TestQuickstartInteractive(t *testing.T) {
	testenv.NeedLevel(t, 1)
	cmd := keposs(t, "quickstart", "--interactive", "--json")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	e, err := enter(t, cmd)
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	// Two at enrolment; sign, verify twice, decrypt, sign, sign after the lock.
	if e.pins != 8 || e.gestures != 8 {
		t.Errorf("%d PINs and %d gestures were asked for, want 8 each", e.pins, e.gestures)
	}
	for name, out := range map[string]string{"the screen": e.screen, "standard output": stdout.String(), "standard error": stderr.String()} {
		if strings.Contains(out, sitePIN) || strings.Contains(out, siteGesture) {
			t.Errorf("%s shows what was entered", name)
		}
	}
	if !strings.Contains(stdout.String(), `"ok": true`) {
		t.Errorf("standard output: %s", stdout.String())
	}
}
