package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keposs/keposs/core"
)

// mine is a sensor nobody has built in.
type mine struct{}

func (mine) Describe(context.Context) (core.SensorInfo, error) {
	return core.SensorInfo{Name: "mine", Version: "1", Model: "none", Samples: []core.SampleKind{core.SampleBytes}}, nil
}

func (mine) Configure(context.Context, core.Config) error { return nil }

func (mine) Sample(context.Context, core.Prompt) (core.Sample, error) {
	return core.Sample{}, core.Errorf(core.CaptureRefused, "mine", "there is nothing to see")
}

// Of a script that builds a plugin the program is pinned, and whatever the
// script builds afterwards changes nothing; a script that only starts something
// is pinned with the word that this is little.
func TestPluginPinOfABuiltProgram(t *testing.T) {
	onLinux(t)
	plugin := fmt.Sprintf("#!/bin/sh\nGORACE=atexit_sleep_ms=0 KEPOSS_PLUGIN=sensor:mine exec '%s'\n", os.Args[0])
	dir, home := t.TempDir(), t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	const makes = "#!/bin/sh\n# keposs-program: build/mine\nmkdir -p build && cp source build/mine && echo built >&2\n"
	write("source", plugin, 0o600)
	write("makes", makes, 0o700)
	status, _, stderr := run(t, home, "plugin", "pin", dir)
	if status == ExitOK || !strings.Contains(stderr, "left no program at build/mine") {
		t.Fatalf("what was built cannot be executed: status %d: %s", status, stderr)
	}
	write("makes", makes+"chmod 700 build/mine\n", 0o700)
	status, stdout, stderr := run(t, home, "plugin", "pin", "--json", dir)
	var out pinResult
	if err := json.Unmarshal([]byte(stdout), &out); err != nil || status != ExitOK {
		t.Fatalf("status %d, %v: %s%s", status, err, stdout, stderr)
	}
	if out.Name != "mine" || len(out.Files) != 1 || !strings.HasSuffix(out.Files[0], "/mine") {
		t.Errorf("pinned %+v", out)
	}
	if !strings.Contains(out.Note, "not measured") || !strings.Contains(stderr, "built") {
		t.Errorf("note %q, the script said %q", out.Note, stderr)
	}
	write("build/mine", "#!/bin/sh\nexit 9\n", 0o700)
	if status, stdout, stderr := run(t, home, "plugin", "doctor"); status != ExitOK || !strings.Contains(stdout, "sensor mine") {
		t.Errorf("the pinned copy: status %d: %s%s", status, stdout, stderr)
	}
}

// A bare name is a file of this folder, never a program in PATH.
func TestPluginPathIsAFile(t *testing.T) {
	onLinux(t)
	t.Chdir(t.TempDir())
	text := fmt.Sprintf("#!/bin/sh\nGORACE=atexit_sleep_ms=0 KEPOSS_PLUGIN=sensor:mine exec '%s'\n", os.Args[0])
	if err := os.WriteFile("true", []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"true", "./true"} {
		if status, stdout, stderr := run(t, t.TempDir(), "plugin", "pin", name); status != ExitOK || !strings.Contains(stdout, "pinned sensor mine") {
			t.Errorf("%s: status %d: %s%s", name, status, stdout, stderr)
		}
	}
}
