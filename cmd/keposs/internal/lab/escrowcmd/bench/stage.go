package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"google.golang.org/grpc"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sscc"
)

// stored is how many records the read figures choose from.
const stored = 4096

// A stage is a server over TLS with a backend in its process, the same backend
// in a process of its own, a bare echo in a third one, and a driver that asks
// from a fourth.
type stage struct {
	inside, outside core.Backend
	joint           core.Backend // inside, as SS-CC asks it
	limit           *engine      // nil when the backend has none
	srv             *grpc.Server
	echo            *grpc.ClientConn
	children        []*child
	driver          *child
	closers         []func() error
}

// newStage starts everything; records are made in both backends.
func newStage(ctx context.Context, o Options, dir string) (s *stage, err error) {
	s = &stage{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.inside, err = s.open(ctx, o, filepath.Join(dir, "inside"), false); err != nil {
		return s, err
	}
	s.joint = sscc.Coalesce(s.inside)
	if s.limit, err = newEngine(ctx, o, filepath.Join(dir, "bare")); err != nil {
		return s, err
	}
	if s.limit != nil {
		s.closers = append(s.closers, s.limit.close)
	}
	if s.outside, err = s.open(ctx, o, filepath.Join(dir, "outside"), true); err != nil {
		return s, err
	}
	for _, b := range []core.Backend{s.inside, s.outside} {
		if err := fresh(ctx, b, 0, stored); err != nil && core.CodeOf(err) != core.Conflict { // a server's schema is shared by both
			return s, err
		}
	}
	return s, s.serve(ctx, dir)
}

func (s *stage) open(ctx context.Context, o Options, dir string, process bool) (core.Backend, error) {
	b, end, err := open(ctx, o, dir, process)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, end)
	return b, nil
}

// open configures a fresh backend.
func open(ctx context.Context, o Options, dir string, process bool) (core.Backend, func() error, error) {
	b, err := o.Open(ctx, o.Backend, process)
	if err != nil {
		return nil, nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, core.Errorf(core.Environment, "lab escrow", "%w", err)
	}
	c := core.Config{Values: map[string]string{}, Secrets: map[string]*secret.Buffer{}}
	for k, v := range o.Settings {
		c.Values[k] = v
	}
	switch o.Backend {
	case "badger":
		c.Values["dir"] = filepath.Join(dir, "db")
	case "memory":
		c.Values["path"] = filepath.Join(dir, "log")
	case "postgres":
		c.Values["schema"] = Space
	case "etcd":
		c.Values["prefix"] = Space + "/"
	}
	if o.DSN != nil {
		dsn := secret.Copy(o.DSN)
		defer dsn.Wipe()
		c.Secrets["dsn"] = dsn
	}
	if err := b.Configure(ctx, c); err != nil {
		return nil, nil, errors.Join(err, b.Close())
	}
	return b, b.Close, nil
}

// Space is where records of a measurement stand: a schema of a PostgreSQL
// database, the beginning of keys in an etcd cluster.
const Space = "keposs_lab"

// writerTo is a durable compare-and-set of a backend, in keys of its own.
func writerTo(b core.Backend, space string) writer {
	return func(ctx context.Context, k core.Key, v core.Version, hot []byte) (core.Version, error) {
		m := core.Mutation{Key: append(core.Key(space), k...), Expect: v, Op: core.OpPutHot, Hot: hot}
		if v == 0 {
			m.Op = core.OpPut
		}
		res, err := b.CommitMany(ctx, []core.Mutation{m})
		if err != nil {
			return 0, err
		}
		return res[0].Version, res[0].Err
	}
}

// commits asks an engine that counts how many mutations shared how many syncs.
func (s *stage) commits() (mutations, syncs uint64) {
	if c, ok := s.inside.(interface{ Commits() (uint64, uint64) }); ok {
		return c.Commits()
	}
	return 0, 0
}

func (s *stage) close() error {
	var errs []error
	if s.srv != nil {
		s.srv.Stop()
	}
	if s.echo != nil {
		errs = append(errs, s.echo.Close())
	}
	for _, c := range s.children {
		errs = append(errs, c.end())
	}
	for _, end := range s.closers {
		errs = append(errs, end())
	}
	return errors.Join(errs...)
}

// ask has the driver measure one kind.
func (s *stage) ask(kind string, slice time.Duration) (x sample, err error) {
	var got struct {
		Rate, P99 float64
		Err       string
	}
	if err := s.driver.say(order{Kind: kind, MS: slice.Milliseconds()}, &got); err != nil {
		return x, err
	}
	if got.Err != "" {
		return x, core.Errorf(core.Internal, "lab escrow", "%s: %s", kind, got.Err)
	}
	return sample{got.Rate, got.P99}, nil
}

// A child is this program in another part: one JSON object a line each way.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func startChild(ctx context.Context, part string) (*child, error) {
	fail := func(err error) (*child, error) {
		return nil, core.Errorf(core.Environment, "lab escrow", "start the %s: %w", part, err)
	}
	self, err := os.Executable()
	if err != nil {
		return fail(err)
	}
	c := &child{cmd: exec.CommandContext(ctx, self, "lab", "escrow", "--part", part)}
	c.cmd.Stderr = os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return fail(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return fail(err)
	}
	c.out = bufio.NewScanner(out)
	c.out.Buffer(nil, 1<<20)
	if err := c.cmd.Start(); err != nil {
		return fail(err)
	}
	return c, nil
}

// say sends one object and reads one.
func (c *child) say(what, answer any) error {
	b, err := json.Marshal(what)
	if err == nil {
		_, err = c.in.Write(append(b, '\n'))
	}
	if err == nil && !c.out.Scan() {
		err = errors.New("it ended")
	}
	if err == nil {
		err = json.Unmarshal(c.out.Bytes(), answer)
	}
	if err != nil {
		return core.Errorf(core.Internal, "lab escrow", "another process of the measurement: %w", err)
	}
	return nil
}

// end closes its standard input, which ends it, and reaps it.
func (c *child) end() error {
	_ = c.in.Close()
	late := time.AfterFunc(5*time.Second, func() { _ = c.cmd.Process.Kill() })
	defer late.Stop()
	if err := c.cmd.Wait(); err != nil {
		return core.Errorf(core.Internal, "lab escrow", "another process of the measurement: %w", err)
	}
	return nil
}
