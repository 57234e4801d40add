package quickstart

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
)

// readyTimeout bounds the wait for SS-CC's first line: opening a database on a
// slow disk takes seconds, not minutes.
const readyTimeout = 60 * time.Second

// ready is the line `keposs ss-cc serve --json` prints when it listens.
type ready struct {
	Listening string `json:"listening"`
	PID       int    `json:"pid"`
	Backend   string `json:"backend"`
	BackendID int    `json:"backend_pid"`
	State     string `json:"state"`
}

// child is a running SS-CC process. Its standard input is its life line: it
// drains and ends when quickstart closes it or dies.
type child struct {
	cmd   *exec.Cmd
	life  io.WriteCloser
	tail  *tail
	ready ready

	once sync.Once
	done chan struct{}
	err  error
}

// startServer runs this binary as `ss-cc serve` on a loopback port of the
// system's choice. It is SEALED until the administrator's password arrives.
func startServer(ctx context.Context, dir string) (*child, error) {
	const op = "quickstart: start SS-CC"
	exe, err := os.Executable()
	if err != nil {
		return nil, core.Errorf(core.Environment, op, "own executable: %w", err)
	}
	c := &child{tail: &tail{}, done: make(chan struct{})}
	c.cmd = exec.Command(exe, "ss-cc", "serve", "--dir", dir, "--json", "--listen", "127.0.0.1:0", "--until-stdin-ends")
	c.cmd.Args[0] = "keposs"
	// A group of its own: Ctrl-C reaches us, and we end it in order.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.cmd.Stderr = c.tail
	if c.life, err = c.cmd.StdinPipe(); err != nil {
		return nil, core.Errorf(core.Internal, op, "%w", err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, core.Errorf(core.Internal, op, "%w", err)
	}
	if err := c.cmd.Start(); err != nil {
		return nil, core.Errorf(core.Environment, op, "%w", err)
	}
	first := make(chan error, 1)
	go func() {
		r := bufio.NewReader(io.LimitReader(out, 64<<10))
		err := json.NewDecoder(r).Decode(&c.ready)
		first <- err
		_, _ = io.Copy(io.Discard, out)
		c.err = c.cmd.Wait()
		close(c.done)
	}()
	timer := time.NewTimer(readyTimeout)
	defer timer.Stop()
	select {
	case err := <-first:
		if err == nil {
			return c, nil
		}
		c.stop()
		return nil, core.Errorf(core.Unavailable, op, "it ended before it was ready: %s", c.tail.String())
	case <-timer.C:
		c.stop()
		return nil, core.Errorf(core.Timeout, op, "not ready after %s: %s", readyTimeout, c.tail.String())
	case <-ctx.Done():
		c.stop()
		return nil, core.Errorf(core.Canceled, op, "%w", ctx.Err())
	}
}

// stop closes the life line and reaps the process; a process that does not end
// is asked with SIGTERM, then killed. It may be called repeatedly.
func (c *child) stop() {
	c.once.Do(func() {
		_ = c.life.Close()
		for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
			select {
			case <-c.done:
				return
			case <-time.After(10 * time.Second):
				_ = c.cmd.Process.Signal(sig)
			}
		}
		<-c.done
	})
}

// tail keeps the last bytes of a process's standard error for its start error.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailSize = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if n := len(t.b) - tailSize; n > 0 {
		t.b = append(t.b[:0], t.b[n:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.b) == 0 {
		return "it said nothing"
	}
	return string(t.b)
}

// randomPassword draws the administrator's password of a run: 32 letters of 5
// bits each. The caller owns it.
func randomPassword(rand io.Reader) (*secret.Buffer, error) {
	const letters = "abcdefghijkmnpqrstuvwxyz23456789"
	b, err := secret.Read(rand, 32)
	if err != nil {
		return nil, core.Errorf(core.Environment, "quickstart", "%w", err)
	}
	for i, v := range b.Bytes() {
		b.Bytes()[i] = letters[v&31]
	}
	return b, nil
}
