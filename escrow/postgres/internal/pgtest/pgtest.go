//go:build linux

// Package pgtest runs the machine's PostgreSQL for tests: a fresh cluster in a
// folder of its own, reached by unix socket, with fsync on.
package pgtest

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Start runs a server until the test ends and returns its connection string.
// It skips where PostgreSQL is absent.
func Start(t *testing.T) string {
	t.Helper()
	bin := binaries()
	if bin == "" {
		t.Skip("PostgreSQL is not installed: neither /usr/lib/postgresql/*/bin nor the path has initdb and postgres")
	}
	dir, err := os.MkdirTemp("", "keposs-pg-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	as := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() == 0 { // the server refuses to run as root
		if as.Credential = postgres(); as.Credential == nil {
			t.Skip("running as root, and there is no user postgres to run the server as")
		}
		if err := os.Chown(dir, int(as.Credential.Uid), int(as.Credential.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(dir, "data")
	run(t, dir, as, filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "--no-locale", "-E", "UTF8", "--no-sync").wait(t, "initdb")
	p := run(t, dir, as, filepath.Join(bin, "postgres"), "-D", data, "-k", dir, "-c", "listen_addresses=",
		"-c", "fsync=on", "-c", "shared_buffers=32MB", "-c", "max_connections=200", "-c", "deadlock_timeout=50ms")
	t.Cleanup(p.stop)
	state := filepath.Join(data, "postmaster.pid") // its last line is the server's state
	for range 1000 {
		if b, _ := os.ReadFile(state); strings.Contains(string(b), "\nready") {
			return "host=" + dir + " user=postgres dbname=postgres"
		}
		select {
		case err := <-p.ended:
			p.ended <- err
			t.Fatalf("postgres ended: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatal("postgres did not start within 10 s")
	return ""
}

func binaries() string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) > 0 {
		return filepath.Dir(found[len(found)-1])
	}
	if p, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(p)
	}
	return ""
}

func postgres() *syscall.Credential {
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

type process struct {
	cmd   *exec.Cmd
	ended chan error // holds the end, once
}

// run starts a program. The thread that starts it stays: the kernel kills the
// program when that thread ends.
func run(t *testing.T, dir string, as *syscall.SysProcAttr, name string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(name, args...), ended: make(chan error, 1)}
	p.cmd.Dir, p.cmd.SysProcAttr = dir, as
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.ended <- p.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *process) wait(t *testing.T, what string) {
	t.Helper()
	if err := <-p.ended; err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// stop ends the server's process group: at once and cleanly, by force after 5 s.
func (p *process) stop() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGQUIT)
	select {
	case err := <-p.ended:
		p.ended <- err
	case <-time.After(5 * time.Second):
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		p.ended <- <-p.ended // kept for who asks next
	}
}
