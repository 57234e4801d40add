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

// The guide keeps to as many commands as it promises, counted from the clone,
// and asks a writer of Go for nothing but Go.
func TestGuideIsShort(t *testing.T) {
	blocks := guide(t)
	before := len(blocks["clone"])
	for name, most := range map[string]int{"sensor": 8 - 1, "source": 15, "python-source": 15, "cpp": 15 - 2} { // sensor: cd; cpp: cd and go install
		if n := len(blocks[name]); n == 0 || before+n > most {
			t.Errorf("%s has %d commands, want 1 to %d", name, n, most-before)
		}
	}
	if len(blocks) != 5 {
		t.Errorf("%d blocks, want 5", len(blocks))
	}
	for _, line := range blocks["source"] {
		if !strings.HasPrefix(line, "go ") && !strings.HasPrefix(line, "keposs ") {
			t.Errorf("%q needs more than Go", line)
		}
	}
}

// The commands that make a clone give the variables the others use.
func TestGuideClones(t *testing.T) {
	testenv.NeedLevel(t, 1)
	git := exec.Command("git", "rev-parse", "HEAD")
	git.Dir = testenv.Root()
	if err := git.Run(); err != nil {
		t.Skipf("this is no checkout of git: %v", err)
	}
	dir := t.TempDir()
	c := exec.Command("sh", "-ec", strings.Join(append(guide(t)["clone"], `printf '%s\n%s\n' "$KEPOSS_SRC" "$PATH"`), "\n"))
	c.Dir = dir
	c.Env = append(os.Environ(), "GIT_CONFIG_COUNT=1", "GIT_CONFIG_VALUE_0=https://github.com/keposs/keposs", "GIT_CONFIG_KEY_0=url."+testenv.Root()+".insteadOf")
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	src, path, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if _, err := os.Stat(filepath.Join(dir, "keposs", "go.mod")); err != nil || src != filepath.Join(dir, "keposs") {
		t.Errorf("KEPOSS_SRC is %q: %v", src, err)
	}
	if gopath, err := exec.Command("go", "env", "GOPATH").Output(); err != nil || !strings.HasSuffix(path, ":"+strings.TrimSpace(string(gopath))+"/bin") {
		t.Errorf("PATH ends with %.80q: %v", path[max(0, len(path)-80):], err)
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
			env := append(os.Environ(), "GOPROXY=off", "GOFLAGS=", "PATH="+bin+":"+os.Getenv("PATH"))
			if name == "source" && os.Getenv("KEPOSS_GUIDE_CLEAN") != "" {
				env = goOnly(t, bin)
			}
			env = append(env, "GOBIN="+bin, "XDG_DATA_HOME="+home, "KEPOSS_SRC="+testenv.Root(), "PYTHONDONTWRITEBYTECODE=1")
			start, used := time.Now(), time.Duration(0)
			for _, line := range guide(t)[name] {
				c := exec.Command("sh", "-c", line)
				c.Dir, c.Env = where, env
				before := time.Now()
				if out, err := c.CombinedOutput(); err != nil {
					t.Fatalf("%s: %v\n%s", line, err, out)
				}
				cpu := c.ProcessState.UserTime() + c.ProcessState.SystemTime()
				used += cpu
				t.Logf("%6.1f s, %6.1f s of processor time  %s", time.Since(before).Seconds(), cpu.Seconds(), line)
			}
			t.Logf("%6.1f s, %6.1f s of processor time in all", time.Since(start).Seconds(), used.Seconds())
		})
	}
}

// goOnly is the environment of a machine that has nothing but Go, and the
// network: no module and no package is there yet.
func goOnly(t *testing.T, bin string) []string {
	t.Helper()
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(tool, filepath.Join(dir, "go")); err != nil {
		t.Fatal(err)
	}
	return []string{"HOME=" + dir, "PATH=" + bin + ":" + dir, "GOMODCACHE=" + filepath.Join(dir, "mod"), "GOCACHE=" + filepath.Join(dir, "cache"),
		"GOFLAGS=-modcacherw -buildvcs=false", "GOPROXY=" + os.Getenv("GOPROXY")}
}
