package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/keposs/keposs/internal/testenv"
)

// Every command of docs/storage-guide.md, as it stands: a backend made, tested,
// pinned, moved into and out of again.
// req: K-6.2-02a, TK-07
func TestStorageGuide(t *testing.T) {
	testenv.NeedLevel(t, 1)
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("plugin processes run from sealed images, which only Linux has")
	}
	page := blocks(t, "storage-guide.md")
	bin, dir := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "password"), []byte(sitePassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"backend", "swap"} {
		if page[name] == "" {
			t.Fatalf("no block %s", name)
		}
		for line := range strings.Lines(page[name]) {
			c := exec.CommandContext(t.Context(), "sh", "-c", line)
			c.Dir = dir
			c.Env = append(os.Environ(), "GOBIN="+bin, "PATH="+bin+":"+os.Getenv("PATH"), "XDG_DATA_HOME="+filepath.Join(dir, "data"),
				"KEPOSS_SRC="+testenv.Root(), "GOPROXY=off", "GOFLAGS=")
			begun := time.Now()
			if out, err := c.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", strings.TrimSpace(line), err, out)
			}
			t.Logf("%5.1f s  %s", time.Since(begun).Seconds(), strings.TrimSpace(line))
		}
		delete(page, name)
	}
	for name := range page {
		t.Errorf("block %s is not executed", name)
	}
}
