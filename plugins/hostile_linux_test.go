package plugins_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	plugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/plugins"
	"github.com/keposs/keposs/plugins/internal/glue"
	"github.com/keposs/keposs/plugins/internal/launch"
	"github.com/keposs/keposs/plugins/internal/wire"
)

// hostile says which attack the sensor or source under this name makes.
const hostile = "KEPOSS_TEST_HOSTILE"

// attack is the test binary as a program somebody pinned, with an attack.
func attack(kind, name string, more ...string) plugins.Entry {
	e := local(kind, name, "1")
	e.Env = append(e.Env, append(more, hostile+"="+name)...)
	return e
}

// mainIfHostile serves without the limits a well-made plugin sets itself.
func mainIfHostile() {
	name := os.Getenv(hostile)
	if name == "" {
		return
	}
	p := &launch.Served{Register: func(s *grpc.Server) error {
		if name == "flood" {
			wire.RegisterSensorServer(s, flood{})
			wire.RegisterControlServer(s, &hostileControl{kind: plugins.KindSensor, name: name})
			return nil
		}
		if os.Getenv(launch.EnvPlugin) == plugins.KindSource+":"+name {
			wire.RegisterSourceServer(s, endless{})
			wire.RegisterControlServer(s, &hostileControl{kind: plugins.KindSource, name: name})
			return nil
		}
		_, err := glue.Register(s, &attacker{name})
		return err
	}}
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: launch.Handshake, Plugins: plugin.PluginSet{launch.Service: p},
		GRPCServer: func(o []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(o, grpc.MaxSendMsgSize(1<<30))...)
		},
	})
	os.Exit(0)
}

type hostileControl struct {
	wire.UnimplementedControlServer
	kind, name string
}

func (c *hostileControl) Describe(context.Context, *wire.DescribeRequest) (*wire.PluginInfo, error) {
	return &wire.PluginInfo{Kind: c.kind, Name: c.name, Version: "1"}, nil
}

// endless never stops asking and reads no answer.
type endless struct{ wire.UnimplementedSourceServer }

func (endless) Enroll(s grpc.BidiStreamingServer[wire.EnrollRequest, wire.EnrollResponse]) error {
	ask := &wire.Prompt{Kinds: []string{"pin"}, Label: strings.Repeat("l", 1000)}
	for {
		if err := s.Send(&wire.EnrollResponse{Frame: &wire.EnrollResponse_Prompt{Prompt: ask}}); err != nil {
			return err
		}
	}
}

// flood answers with 100 MB.
type flood struct{ wire.UnimplementedSensorServer }

func (flood) Describe(context.Context, *wire.Empty) (*wire.SensorInfo, error) {
	return &wire.SensorInfo{Name: "flood", Version: "1", Samples: []string{"bytes"}}, nil
}

func (flood) Sample(context.Context, *wire.Prompt) (*wire.Sample, error) {
	return &wire.Sample{Kind: "bytes", Data: &wire.Secret{Form: &wire.Secret_Plain{Plain: make([]byte, 100<<20)}}}, nil
}

// attacker is a sensor with an attack for an answer.
type attacker struct{ name string }

func (a *attacker) Describe(context.Context) (core.SensorInfo, error) {
	return core.SensorInfo{Name: a.name, Version: "1", Samples: []core.SampleKind{core.SampleBytes}, Model: "made-up"}, nil
}

func (*attacker) Configure(context.Context, core.Config) error { return nil }

// forks is how many helpers the attacker tries to start.
const forks = 500

func (a *attacker) Sample(_ context.Context, _ core.Prompt) (core.Sample, error) {
	switch a.name {
	case "hang":
		select {}
	case "loud":
		for fd := range uintptr(2) { // past the redirection
			f := os.NewFile(fd+1, "pipe")
			noise := bytes.Repeat([]byte("noise "), 1<<12)
			go func() {
				for {
					if _, err := f.Write(noise); err != nil {
						return
					}
				}
			}()
		}
	case "forks", "helpers":
		n, most := 0, forks
		if a.name == "helpers" {
			most = 20
		}
		for i := range most {
			c := exec.Command("sleep", os.Getenv(forkMark))
			c.Stdout, c.Stderr = os.Stdout, os.Stderr // they hold the host's pipes
			c.SysProcAttr = &syscall.SysProcAttr{Setsid: i%2 == 1 && plugins.ProcessLimit() != ""}
			if c.Start() == nil {
				n++
			}
		}
		return core.NewSample(core.SampleBytes, []byte(strconv.Itoa(n))), nil
	}
	return core.NewSample(core.SampleBytes, []byte("a sample")), nil
}

// forkMark names the argument that tells the test's own helpers from others.
const forkMark = "KEPOSS_TEST_FORK"

// marked counts the processes, zombies apart, with an argument of that text.
func marked(t *testing.T, mark string) (n int) {
	t.Helper()
	list, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list {
		b, err := os.ReadFile("/proc/" + d.Name() + "/cmdline")
		if err == nil && bytes.Contains(b, []byte("\x00"+mark+"\x00")) {
			n++
		}
	}
	return n
}

// Whatever a plugin answers, the host answers its caller by the deadline and
// goes on; what it started ends with it.
func TestHostilePlugins(t *testing.T) {
	const deadline = 20 * time.Second // what a host gives; a loaded machine is slow, not late
	// Seconds that no other test sleeps for.
	mark := fmt.Sprintf("3600.%06d", os.Getpid()%1000000)
	for name, want := range map[string]core.Code{"flood": core.TooLarge, "hang": core.Timeout, "loud": 0, "forks": 0} {
		t.Run(name, func(t *testing.T) {
			sup := supervise(t, plugins.Options{})
			s, err := sup.Sensor(t.Context(), attack(plugins.KindSensor, name, forkMark+"="+mark))
			if err != nil {
				t.Fatal(err)
			}
			if err := sup.Warm(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			i, _ := plugins.InfoOf(s)
			limit := deadline
			if name == "hang" {
				limit = 100 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			got, err := s.Sample(ctx, core.Prompt{Kinds: []core.SampleKind{core.SampleBytes}})
			if name == "forks" && core.CodeOf(err) == core.Unavailable {
				t.Logf("it broke at its own limit: %v", err) // no task was left for its runtime's threads
			} else if code := core.CodeOf(err); want != 0 && code != want || want == 0 && err != nil {
				t.Fatalf("%v, want %v", err, want)
			}
			if name != "hang" && ctx.Err() != nil {
				t.Error("the answer came after the deadline")
			}
			if name == "forks" && err == nil {
				n, err := strconv.Atoi(string(got.Data.Bytes()))
				if err != nil || n == 0 {
					t.Fatalf("%v: %d helpers", err, n)
				}
				if plugins.ProcessLimit() != "" && n >= launch.MaxTasks {
					t.Errorf("%d helpers under a limit of %d tasks", n, launch.MaxTasks)
				}
				t.Logf("%d of %d helpers started, %d seen; limit: %q", n, forks, marked(t, mark), plugins.ProcessLimit())
			}
			// The host is not held up: the same plugin, or the next process, is described.
			again, cancel := context.WithTimeout(t.Context(), deadline)
			defer cancel()
			if d, err := s.Describe(again); err != nil || d.Name != name {
				t.Errorf("the next call: %+v, %v", d, err)
			}
			if err := sup.Close(); err != nil {
				t.Fatal(err)
			}
			gone(t, i.PID, 5*time.Second)
			left := marked(t, mark)
			for end := time.Now().Add(5 * time.Second); left > 0 && time.Now().Before(end); left = marked(t, mark) {
				time.Sleep(20 * time.Millisecond)
			}
			if left > 0 {
				t.Errorf("%d helpers outlive the plugin", left)
			}
		})
	}
}

// A plugin that dies by itself takes its helpers along.
func TestHelpersEndWithACrash(t *testing.T) {
	mark := fmt.Sprintf("3601.%06d", os.Getpid()%1000000)
	sup := supervise(t, plugins.Options{})
	s, err := sup.Sensor(t.Context(), attack(plugins.KindSensor, "helpers", forkMark+"="+mark))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sample(t.Context(), core.Prompt{Kinds: []core.SampleKind{core.SampleBytes}}); err != nil {
		t.Fatal(err)
	}
	i, _ := plugins.InfoOf(s)
	if err := syscall.Kill(i.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	left := marked(t, mark)
	for end := time.Now().Add(10 * time.Second); left > 0 && time.Now().Before(end); left = marked(t, mark) {
		time.Sleep(20 * time.Millisecond)
	}
	if left > 0 {
		t.Errorf("%d helpers outlive a killed plugin", left)
	}
}

// An endless stream ends with its caller's deadline.
func TestEndlessStream(t *testing.T) {
	sup := supervise(t, plugins.Options{})
	s, err := sup.Source(t.Context(), attack(plugins.KindSource, "endless"))
	if err != nil {
		t.Fatal(err)
	}
	if err := sup.Warm(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := s.Enroll(ctx, core.EnrollRequest{}, say("1"))
		ended <- err
	}()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("an enrolment without an end ended well")
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the host is held up")
	}
}
