package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/keposs/keposs/internal/testenv"
)

var guideBlock = regexp.MustCompile("(?m)^```sh ([a-z-]+)\n((?:.*\n)*?)```$")

// guide reads the commands of docs/plugin-guide.md, by the name of their block.
func guide(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for name, text := range blocks(t, "plugin-guide.md") {
		out[name] = strings.Split(strings.TrimSpace(text), "\n")
	}
	return out
}

// The guide keeps to as many commands as it promises.
func TestGuideIsShort(t *testing.T) {
	blocks := guide(t)
	for name, most := range map[string]int{"sensor": 8 - 2, "source": 15, "python-source": 15, "cpp": 8 - 2} { // clone and cd come before sensor
		if n := len(blocks[name]); n == 0 || n > most {
			t.Errorf("%s has %d commands, want 1 to %d", name, n, most)
		}
	}
	if len(blocks) != 4 {
		t.Errorf("%d blocks, want 4", len(blocks))
	}
}

// Every command of the guide, as it stands, on a machine that has what the
// guide says it needs.
func TestGuide(t *testing.T) {
	testenv.NeedLevel(t, 1)
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("plugin processes run from sealed images, which only Linux has")
	}
	bin := t.TempDir()
	for name, where := range map[string]string{"sensor": testenv.Root(), "source": t.TempDir(), "python-source": t.TempDir(), "cpp": testenv.Root()} {
		t.Run(name, func(t *testing.T) {
			if (name == "sensor" || name == "python-source") && !grpcio() {
				t.Skip("no /usr/bin/python3 with grpc, protobuf and cryptography")
			}
			if name == "cpp" {
				if exec.Command("pkg-config", "--exists", "grpc++", "openssl").Run() != nil {
					t.Skip("no gRPC for C++ and OpenSSL")
				}
				t.Cleanup(func() { _ = exec.Command("make", "-C", filepath.Join(where, "examples", "sensor-cpp"), "clean").Run() })
			}
			if name == "python-source" || name == "cpp" { // they come after others, which install keposs
				install := exec.Command("go", "install", "./cmd/keposs")
				install.Dir, install.Env = testenv.Root(), append(os.Environ(), "GOBIN="+bin)
				if out, err := install.CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
			}
			home := t.TempDir()
			start := time.Now()
			for _, line := range guide(t)[name] {
				c := exec.Command("sh", "-c", line)
				c.Dir = where
				c.Env = append(os.Environ(), "GOBIN="+bin, "PATH="+bin+":"+os.Getenv("PATH"), "XDG_DATA_HOME="+home,
					"KEPOSS_SRC="+testenv.Root(), "PYTHONDONTWRITEBYTECODE=1", "GOPROXY=off", "GOFLAGS=")
				before := time.Now()
				if out, err := c.CombinedOutput(); err != nil {
					t.Fatalf("%s: %v\n%s", line, err, out)
				}
				t.Logf("%5.1f s  %s", time.Since(before).Seconds(), line)
			}
			t.Logf("%5.1f s of machine time in all", time.Since(start).Seconds())
		})
	}
}
