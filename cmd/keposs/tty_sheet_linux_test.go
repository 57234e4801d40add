package main

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/keposs/keposs/internal/testenv"
)

var (
	sheetWord  = regexp.MustCompile(`(?m)(?:^| )(\d{1,2}) ([a-z]+)`)
	askForWord = regexp.MustCompile(`type word (\d+): $`)
)

// A recovery sheet at a terminal: shown once, one word typed back, and then
// gone from the screen. Three wrong words, and nothing was stored.
func TestSheetAtTerminal(t *testing.T) {
	testenv.NeedLevel(t, 1)
	s := newSite(t, builtBinary(t), "warn")
	x := s.terminal(t)
	s.must(t, x.init("5"))
	for _, c := range []struct {
		name  string
		right bool
	}{{"wrong words", false}, {"the right word", true}} {
		t.Run(c.name, func(t *testing.T) {
			answers, err := os.Open(x.file("answers"))
			if err != nil {
				t.Fatal(err)
			}
			defer answers.Close()
			person, program := openTerminal(t)
			cmd := exec.Command(s.bin, "--dir", x.dir, "recovery", "create", "--ppd-fd", "3")
			var out bytes.Buffer
			cmd.Env, cmd.ExtraFiles = s.env(), []*os.File{answers}
			cmd.Stdin, cmd.Stdout, cmd.Stderr = program, &out, &out
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			_ = program.Close()
			late := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
			defer late.Stop()
			asked, screen := typeWords(person, c.right)
			err = cmd.Wait()
			if (err == nil) != c.right || (c.right && asked != 1) || (!c.right && asked != 3) {
				t.Fatalf("%v after %d questions\n%s\nthe screen: %q", err, asked, out.String(), screen)
			}
			if strings.Contains(out.String(), "KEPOSS-SHEET1") {
				t.Errorf("the sheet went where it can be redirected: %s", out.String())
			}
			if c.right && !strings.HasSuffix(strings.TrimSpace(screen), "\x1b[2J\x1b[3J\x1b[H") {
				t.Errorf("the sheet stays on the screen: %q", screen[max(0, len(screen)-80):])
			}
			has := strings.Contains(s.must(t, run{dir: x.dir, args: []string{"policy", "show"}}), "recovery (recovery)")
			if has != c.right {
				t.Errorf("a recovery code is stored: %v", has)
			}
		})
	}
}

// typeWords reads the screen and answers every question for a word.
func typeWords(person *os.File, right bool) (asked int, screen string) {
	var shown bytes.Buffer
	words := map[int]string{}
	buf := make([]byte, 4096)
	for {
		n, err := person.Read(buf)
		shown.Write(buf[:n])
		text := strings.ReplaceAll(shown.String(), "\r", "")
		if m := askForWord.FindStringSubmatch(text); m != nil {
			if asked == 0 {
				for _, w := range sheetWord.FindAllStringSubmatch(text, -1) {
					i, _ := strconv.Atoi(w[1])
					words[i] = w[2]
				}
			}
			asked++
			i, _ := strconv.Atoi(m[1])
			answer := words[i]
			if !right {
				answer = "nothing"
			}
			time.Sleep(100 * time.Millisecond) // the prompt comes just before echo is off
			_, _ = person.WriteString(answer + "\r")
		}
		if err != nil {
			return asked, text
		}
	}
}
