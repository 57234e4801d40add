//go:build linux

package plugins_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/plugins"
	"github.com/keposs/keposs/plugins/plugintest"
)

// hostEnv makes the test binary a host that starts a plugin and waits to be killed.
const hostEnv = "KEPOSS_TEST_HOST"

func TestMain(m *testing.M) {
	mainIfHostile()
	plugins.MainIfPlugin(registry)
	if os.Getenv(hostEnv) != "" {
		hostAndWait()
	}
	if path := os.Getenv(bareEnv); path != "" {
		serveBare(path)
	}
	plugintest.Main(m, registry)
}

var registry = plugins.Registry{Source: toySource, Sensor: func(string) (core.Sensor, error) { return toySensor{}, nil },
	Backend: func(name string) (core.Backend, error) {
		if name == "steady" {
			return &steadyStore{}, nil
		}
		return &slowStore{}, nil
	},
	KDF: func(string) (core.KDF, error) { return burglarKDF{}, nil },
}

// toyVersion is what a toy says it is; "ends" and "refuses" are faults.
const toyVersion = "KEPOSS_TEST_TOY_VERSION"

// toySource returns the well-behaved source, or misbehaves before serving.
func toySource(name string) (core.Source, error) {
	if os.Getenv(toyVersion) == "ends" {
		os.Exit(3)
	}
	switch name {
	case "echo", "envspy", "noisy":
		return &toy{name: name}, nil
	case "burglar":
		return burglar{}, nil
	case "die":
		fmt.Fprintln(os.Stderr, strings.Repeat("x", 8000))
		fmt.Fprintln(os.Stderr, "no licence for this sensor")
		os.Exit(3)
	case "babble":
		fmt.Println("hello, world")
		select {}
	case "version":
		fmt.Println("1|9|unix|/nowhere|grpc|")
		select {}
	case "hang":
		select {}
	case "silent":
		os.Stdout.Close()
		time.Sleep(time.Minute)
	case "nobody":
		fmt.Println("1|1|unix|/nowhere|grpc|")
		select {}
	}
	return nil, core.Errorf(core.NotFound, "toys", "no toy %s", name)
}

// toy gives back its one sample as the secret. Its only setting is its format.
type toy struct {
	name   string
	format string
}

func (s *toy) Describe(context.Context) (core.SourceInfo, error) {
	version := cmp.Or(os.Getenv(toyVersion), "1")
	if s.name == "envspy" {
		version = strings.Join(os.Environ(), "\x1f")
	}
	return core.SourceInfo{Name: s.name, Version: version, Kind: core.KindKnowledge, Format: 1, Formats: []uint32{1}, HelperSize: len(s.format)}, nil
}

func (s *toy) Configure(_ context.Context, c core.Config) error {
	for k := range c.Values {
		if k != "format" {
			return core.Errorf(core.Invalid, "toy: configure", "no setting %s", k)
		}
	}
	s.format = c.Values["format"] + string(c.Secrets["token"].Bytes())
	return nil
}

func (s *toy) Enroll(ctx context.Context, r core.EnrollRequest, p core.Prompter) (core.Enrollment, error) {
	switch r.Label {
	case "sleep":
		<-ctx.Done()
		time.Sleep(50 * time.Millisecond)
		return core.Enrollment{}, ctx.Err()
	case "noise":
		fmt.Println("1|1|tcp|noise on standard output")
		fmt.Fprintln(os.Stderr, "noise on standard error")
	case "panic":
		panic("a defect")
	case "huge":
		return core.Enrollment{Secret: secret.New(1), Helper: make([]byte, 5<<20)}, nil
	}
	a, err := p.Ask(ctx, core.Prompt{Kinds: []core.SampleKind{core.SamplePIN}, Label: r.Label, Purpose: core.PurposeEnroll, Index: 1, Total: 1})
	if err != nil {
		return core.Enrollment{}, err
	}
	return core.Enrollment{Secret: a.Data, Helper: []byte(s.format), Format: 1}, nil
}

func (s *toy) Capture(ctx context.Context, r core.CaptureRequest, p core.Prompter) (core.Capture, error) {
	a, err := p.Ask(ctx, core.Prompt{Kinds: []core.SampleKind{core.SamplePIN}, Label: r.Label, Purpose: core.PurposeRecover, Index: 1, Total: 1})
	if err != nil {
		return nil, err
	}
	return &toyCapture{a.Data}, nil
}

type toyCapture struct{ data *secret.Buffer }

func (c *toyCapture) Recover(context.Context, core.RecoverRequest) (*secret.Buffer, error) {
	return c.data.Clone(), nil
}

func (c *toyCapture) Close() error {
	c.data.Wipe()
	return nil
}

type toySensor struct{}

func (toySensor) Describe(context.Context) (core.SensorInfo, error) {
	return core.SensorInfo{Name: "cam", Version: "2", Samples: []core.SampleKind{core.SampleBytes}, Model: "m1"}, nil
}
func (toySensor) Configure(context.Context, core.Config) error { return nil }
func (toySensor) Sample(_ context.Context, p core.Prompt) (core.Sample, error) {
	if p.Index == 2 {
		return core.Sample{}, core.Errorf(core.CaptureRefused, "cam: sample", "too dark")
	}
	return core.Sample{Kind: core.SampleBytes, Model: "m1", Data: secret.Own(bytes.Repeat([]byte{7}, 9))}, nil
}

// say answers every prompt with one text.
func say(text string) core.Prompter {
	return core.PrompterFunc(func(context.Context, core.Prompt) (core.Sample, error) {
		return core.NewSample(core.SamplePIN, []byte(text)), nil
	})
}

// hostAndWait starts a plugin, prints its process id and never ends.
func hostAndWait() {
	sup := plugins.NewSupervisor(plugins.Options{})
	s, err := sup.Source(context.Background(), plugins.Builtin(plugins.KindSource, "echo"))
	if err == nil {
		err = sup.Warm(context.Background(), s)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(sup.List()[0].PID)
	select {}
}

// slowStore takes its time to commit, and only that.
type slowStore struct{ core.Backend }

func (*slowStore) Describe(context.Context) (core.BackendInfo, error) {
	return core.BackendInfo{Name: "slow", Version: "1"}, nil
}
func (*slowStore) Configure(context.Context, core.Config) error { return nil }
func (*slowStore) Close() error                                 { return nil }
func (*slowStore) GetMany(ctx context.Context, k []core.Key, _ core.ReadOpts) ([]core.Record, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}
func (*slowStore) CommitMany(ctx context.Context, ms []core.Mutation) ([]core.Result, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// steadyStore answers every key as absent. Its one setting names a file that
// only one process may hold, like a database's.
type steadyStore struct {
	core.Backend
	lock string
}

func (*steadyStore) Describe(context.Context) (core.BackendInfo, error) {
	return core.BackendInfo{Name: "steady", Version: cmp.Or(os.Getenv(toyVersion), "1")}, nil
}

func (s *steadyStore) Configure(_ context.Context, c core.Config) error {
	if os.Getenv(toyVersion) == "refuses" {
		return core.Errorf(core.Invalid, "toy: configure", "not these settings")
	}
	f, err := os.OpenFile(c.Values["lock"], os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return core.Errorf(core.Conflict, "toy: configure", "another process holds the store: %w", err)
	}
	s.lock = f.Name()
	return f.Close()
}

func (s *steadyStore) GetMany(_ context.Context, k []core.Key, _ core.ReadOpts) ([]core.Record, error) {
	if s.lock == "" {
		return nil, core.Errorf(core.State, "toy: get", "not configured")
	}
	out := make([]core.Record, len(k))
	for i := range k {
		out[i].Key = k[i]
	}
	return out, nil
}

func (s *steadyStore) Close() error {
	if s.lock == "" {
		return nil
	}
	return os.Remove(s.lock)
}
