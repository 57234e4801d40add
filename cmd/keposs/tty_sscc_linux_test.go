package main

import (
	"bytes"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The administrator types a new password twice; it is not shown, and two that
// differ set nothing.
// req: K-10.2-01, G-7.4-07
func TestPasswordAtTerminal(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		name, second string
		ok           bool
	}{
		{"they differ", "incorrect horse", false},
		{"they agree", sitePassword, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			person, program := openTerminal(t)
			cmd := keposs(t, "--dir", dir, "ss-cc", "init")
			var stdout bytes.Buffer
			cmd.Stdin, cmd.Stdout, cmd.Stderr = program, &stdout, program
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			_ = program.Close()
			late := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
			defer late.Stop()
			answers := []string{"password: ", sitePassword, "again: ", c.second}
			var shown bytes.Buffer
			buf := make([]byte, 4096)
			seen := 0 // of shown, when something was last answered
			for {
				n, err := person.Read(buf)
				shown.Write(buf[:n])
				if len(answers) > 0 && strings.Contains(shown.String()[seen:], answers[0]) {
					seen = shown.Len()
					time.Sleep(100 * time.Millisecond) // the prompt comes just before echo is off
					_, _ = person.WriteString(answers[1] + "\r")
					answers = answers[2:]
				}
				if err != nil {
					break
				}
			}
			err := cmd.Wait()
			if (err == nil) != c.ok || len(answers) > 0 {
				t.Errorf("%v, still to be asked: %q; the screen: %q", err, answers, shown.String())
			}
			if !c.ok && !strings.Contains(shown.String(), "the two entries differ: nothing was set") {
				t.Errorf("the screen: %q", shown.String())
			}
			for _, secret := range []string{sitePassword, c.second} {
				if strings.Contains(shown.String()+stdout.String(), secret) {
					t.Errorf("the screen shows the password: %q", shown.String())
				}
			}
		})
	}
}
