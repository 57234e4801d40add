package check

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
)

// write makes an executable file below dir.
func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
}

// Of a script that builds, the program it has built is meant; everything else
// is meant itself.
func TestProgram(t *testing.T) {
	linux(t)
	const mark = "#!/bin/sh\n# keposs-program: "
	const makes = "\nmkdir -p build && printf 'made' >build/p && chmod 755 build/p; echo so it says\n"
	for name, c := range map[string]struct {
		text string
		want string // below the folder; "" = an error
		code core.Code
	}{
		"builds":        {mark + "build/p" + makes, "build/p", 0},
		"no mark":       {"#!/bin/sh\nexit 1\n", "s", 0},
		"mark is late":  {"#!/bin/sh\n\n# keposs-program: build/p\nexit 1\n", "s", 0},
		"no script":     {"\x7fELF\n# keposs-program: build/p\n", "s", 0},
		"empty":         {"", "s", 0},
		"unended":       {"#!/bin/sh\n# keposs-program: build/p", "s", 0},
		"fails":         {mark + "build/p\nexit 3\n", "", core.Environment},
		"builds none":   {mark + "build/p\nexit 0\n", "", core.Environment},
		"a folder":      {mark + "build\nmkdir -p build\n", "", core.Environment},
		"a link":        {mark + "build/p\nmkdir -p build; ln -sf /bin/sh build/p\n", "", core.Environment},
		"not to run":    {mark + "build/p\nmkdir -p build; echo x >build/p; chmod 644 build/p\n", "", core.Environment},
		"outside":       {mark + "../p" + makes, "", core.Usage},
		"absolute":      {mark + "/bin/sh" + makes, "", core.Usage},
		"nowhere":       {mark + makes, "s", 0},
		"itself":        {mark + "s\nexit 0\n", "", core.Usage},
		"another such":  {mark + "t\nprintf '#!/bin/sh\\n# keposs-program: s\\n' >t; chmod 755 t\n", "", core.Usage},
		"by its folder": {mark + "build/p\ncd / && cd -" + makes, "build/p", 0},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "s", c.text)
			var said strings.Builder
			got, err := Program(t.Context(), filepath.Join(dir, "s"), &said)
			if c.want == "" {
				if !errors.Is(err, c.code) || got != "" {
					t.Errorf("%q, %v, want %v", got, err, c.code)
				}
				return
			}
			if err != nil || got != filepath.Join(dir, c.want) {
				t.Errorf("%q, %v, want %s", got, err, c.want)
			}
			if strings.Contains(c.text, "so it says") && c.want == "build/p" && !strings.Contains(said.String(), "so it says\n") {
				t.Errorf("what it says is lost: %q", said.String())
			}
		})
	}
	if _, err := Program(t.Context(), "/dev/null", os.Stderr); !errors.Is(err, core.Usage) {
		t.Errorf("a device: %v", err)
	}
	dir := t.TempDir()
	write(t, dir, "s", mark+"build/p"+makes)
	for range 2 { // what was built is no second executable at the top
		if got, err := Program(t.Context(), dir, os.Stderr); err != nil || got != filepath.Join(dir, "build", "p") {
			t.Errorf("of the folder: %q, %v", got, err)
		}
	}
}

// A program that says nothing and whose helpers hold its standard output is
// given up all the same, and its helpers end with it.
func TestHelpersDoNotHoldTheCheck(t *testing.T) {
	linux(t)
	t.Parallel()
	dir := t.TempDir()
	note := filepath.Join(dir, "pid")
	write(t, dir, "p", "#!/bin/sh\nsleep 600 &\necho $! >'"+note+"'\nwait\n")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := Identify(ctx, Target{Path: filepath.Join(dir, "p")})
		ended <- err
	}()
	var pid string
	for pid == "" {
		b, _ := os.ReadFile(note)
		pid, _, _ = strings.Cut(string(b), "\n")
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("it says what it is")
		}
	case <-time.After(time.Minute):
		t.Fatal("the check waits for a helper")
	}
	for i := 0; ; i++ { // the kernel's own time
		if _, _, alive := stat("/proc/" + pid + "/stat"); !alive {
			break
		}
		if i == 1000 {
			t.Fatal("the helper lives on")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// However few people a folder holds, a stranger is never the one enrolled.
func TestFewPeople(t *testing.T) {
	for n := 2; n < 5; n++ {
		var people []someone
		for i := range n {
			people = append(people, someone{name: string(rune('a' + i)), kind: core.SampleBytes, takes: [][]byte{{byte(i)}}})
		}
		of := fromSamples(people)
		for seed := uint64(2); seed < 20; seed++ {
			for who, want := range map[uint64]bool{1: true, seed: false} {
				s, err := of(who).Ask(t.Context(), core.Prompt{Purpose: core.PurposeRecover})
				if err != nil {
					t.Fatal(err)
				}
				if first := s.Data.Bytes()[0] == 0; first != want {
					t.Errorf("%d people: seed %d is the first: %v", n, who, first)
				}
			}
		}
	}
}
