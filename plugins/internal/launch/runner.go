package launch

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/go-plugin/runner"
)

// process is the runner.Runner of one start.
type process struct {
	name   string
	image  *Image
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *tail
	stderr *tail
	pid    int
	bounds *confinement  // nil = none
	swept  chan struct{} // closed when what it left behind is ended

	done  chan struct{} // closed when the process is reaped
	state error         // how it ended; set before done is closed
	once  sync.Once

	mu     sync.Mutex // of Start and Kill: a killed process is never started
	killed bool
}

var _ runner.Runner = (*process)(nil)

// allowed are the variables of the host a plugin gets to see.
var allowed = []string{"PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "SYSTEMROOT"}

// dir is the folder of the plugin's socket.
func newProcess(s Spec, cmd *exec.Cmd, dir string) (*process, error) {
	p := &process{name: s.Name, image: s.Image, cmd: cmd, bounds: s.confine(dir), done: make(chan struct{}), swept: make(chan struct{})}
	// cmd.Env holds only what go-plugin set: the host's environment is skipped.
	for _, k := range allowed {
		if v, ok := os.LookupEnv(k); ok {
			cmd.Env = append(cmd.Env, k+"="+v)
		}
	}
	cmd.Env = append(cmd.Env, EnvPlugin+"="+s.Kind+":"+s.Name)
	cmd.Env = append(cmd.Env, s.Env...)
	cmd.Args = append([]string{"keposs-" + s.Name}, s.Args...)
	cmd.Dir = s.Dir
	cmd.Err = nil // of the empty command that go-plugin made
	cmd.Stdin = nil
	if err := s.Image.prepare(cmd); err != nil {
		return nil, err
	}
	var err error
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	errs, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	p.stdout = &tail{ReadCloser: out, limit: tailSize, first: true}
	p.stderr = &tail{ReadCloser: errs, limit: tailSize}
	return p, nil
}

func (p *process) Start(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := context.Canceled
	var end func()
	if !p.killed {
		end, err = start(p.cmd, p.name, p.bounds)
	}
	if err != nil {
		for _, c := range []io.Closer{p.stdin, p.stdout, p.stderr} {
			_ = c.Close()
		}
		p.state = err
		p.once.Do(func() { close(p.done) })
		return &StartError{Reason: NotExecutable, Plugin: p.name, Detail: err.Error()}
	}
	p.pid = p.cmd.Process.Pid
	go func() { // no helper outlives its plugin (rule P7), nor holds its pipes
		exited(p.pid)
		end()
		close(p.swept)
	}()
	return nil
}

func (p *process) Wait(context.Context) error {
	if p.pid != 0 {
		<-p.swept // before the process is reaped: its id is still its own
	}
	err := p.cmd.Wait()
	p.once.Do(func() {
		p.state = err
		close(p.done)
	})
	return err
}

// ended reports whether the process is gone and ended otherwise than by Kill.
func (p *process) ended() bool {
	select {
	case <-p.done:
	default:
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.cmd.ProcessState
	return !p.killed || s != nil && s.Exited()
}

// pipeGrace is how long a killed process's pipes are read on: a grandchild
// may hold them open for ever.
const pipeGrace = time.Second

func (p *process) Kill(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.killed = true
	if p.cmd.Process == nil {
		return nil
	}
	err := kill(p.cmd.Process)
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	go func() {
		select {
		case <-p.done:
		case <-time.After(pipeGrace):
			_ = p.stdout.Close()
			_ = p.stderr.Close()
		}
	}()
	return err
}

func (p *process) Diagnose(context.Context) string { return "" }
func (p *process) Stdout() io.ReadCloser           { return p.stdout }
func (p *process) Stderr() io.ReadCloser           { return p.stderr }
func (p *process) Name() string                    { return p.name }
func (p *process) ID() string                      { return strconv.Itoa(p.pid) }

func (p *process) PluginToHost(network, addr string) (string, string, error) {
	return network, addr, nil
}

func (p *process) HostToPlugin(network, addr string) (string, string, error) {
	return network, addr, nil
}
