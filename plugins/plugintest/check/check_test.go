package check

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	plugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/plugins"
	"github.com/keposs/keposs/plugins/internal/glue"
	"github.com/keposs/keposs/plugins/internal/launch"
	"github.com/keposs/keposs/plugins/plugintest"
)

func TestMain(m *testing.M) {
	enter()
	if os.Getenv(launch.EnvPlugin) == "sensor:deaf" {
		deaf()
	}
	plugintest.Main(m, zooRegistry)
}

// deaf serves as any go-plugin program does, which knows of no life line.
func deaf() {
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: launch.Handshake,
		Plugins: plugin.PluginSet{launch.Service: &launch.Served{Register: func(s *grpc.Server) error {
			_, err := glue.Register(s, faulty{"deaf"})
			return err
		}}},
		GRPCServer: plugin.DefaultGRPCServer,
	})
	os.Exit(0)
}

// faulty breaks the rule its name says.
type faulty struct{ name string }

func (f faulty) Describe(context.Context) (core.SensorInfo, error) {
	name := f.name
	switch f.name {
	case "misnamed":
		name = "other"
	case "noisy":
		go func() {
			time.Sleep(150 * time.Millisecond) // after the handshake, past the redirection
			_, _ = os.NewFile(1, "stdout").WriteString("noise\n")
		}()
	}
	i := core.SensorInfo{Name: name, Version: "1", Samples: []core.SampleKind{core.SampleBytes}, Model: "made-up 1"}
	switch f.name {
	case "kindless":
		i.Samples = nil
	case "modelless":
		i.Model = ""
	case "no-embedding":
		i.Samples = []core.SampleKind{core.SampleFaceEmbedding}
	}
	return i, nil
}

func (f faulty) Configure(_ context.Context, c core.Config) error {
	if f.name == "lax" || len(c.Values) == 0 {
		return nil
	}
	return core.Errorf(core.Invalid, "faulty: configure", "no such setting")
}

func (f faulty) Sample(_ context.Context, p core.Prompt) (core.Sample, error) {
	switch f.name {
	case "crashes":
		os.Exit(5)
	case "hangs":
		select {}
	case "other-kind":
		return core.NewSample(core.SamplePIN, []byte("123456")), nil
	case "other-model":
		return core.Sample{Kind: core.SampleBytes, Model: "another", Data: secret.Copy([]byte("a sample"))}, nil
	case "empty":
		return core.NewSample(core.SampleBytes, nil), nil
	case "huge":
		return core.NewSample(core.SampleBytes, make([]byte, 2<<20)), nil
	case "no-embedding", "takes-all":
		return core.NewSample(p.Kinds[0], []byte("not what it says")), nil
	}
	if !slices.Contains(p.Kinds, core.SampleBytes) {
		return core.Sample{}, core.Errorf(core.Unsupported, "faulty: sample", "only bytes are taken here")
	}
	s := core.NewSample(core.SampleBytes, []byte("a sample"))
	s.Model = "made-up 1"
	return s, nil
}

func linux(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the check executes sealed images, which only Linux has")
	}
}

// noLinger keeps a program built with the race detector from sleeping a second
// at its end, as it does by default; others ignore it.
var noLinger = []string{"GORACE=atexit_sleep_ms=0"}

// failures runs the check and returns the names of what failed.
func failures(t *testing.T, target Target) (failed []string, passed int) {
	t.Helper()
	target.Env = append(target.Env, noLinger...)
	ok := Run(t.Context(), target, func(r Result) {
		switch {
		case r.Err != nil:
			failed = append(failed, r.Case.Name)
			t.Logf("%s/%s: %v", r.Case.Group, r.Case.Name, r.Err)
		case r.Skipped != "":
			t.Logf("%s/%s skipped: %s", r.Case.Group, r.Case.Name, r.Skipped)
		default:
			passed++
		}
	})
	if ok != (len(failed) == 0) {
		t.Errorf("the check says %t with %d failures", ok, len(failed))
	}
	return failed, passed
}

func TestBuiltinsPass(t *testing.T) {
	linux(t)
	t.Parallel()
	for _, target := range []Target{
		{Path: os.Args[0], Kind: plugins.KindSource, Name: "pin"},
		{Path: os.Args[0], Kind: plugins.KindKDF, Name: "pbkdf2sm3"},
		{Path: os.Args[0], Kind: plugins.KindBackend, Name: "memory", Config: map[string]string{"path": "{dir}/log"}},
		{Path: os.Args[0], Kind: plugins.KindSensor, Name: "fine"},
	} {
		t.Run(target.Name, func(t *testing.T) {
			t.Parallel()
			failed, passed := failures(t, target)
			if len(failed) > 0 || passed < len(Protocol()) {
				t.Fatalf("%d passed, failed: %v", passed, failed)
			}
		})
	}
}

// A check that finds nothing in faulty plugins is none.
func TestFaultyPluginsAreFound(t *testing.T) {
	linux(t)
	t.Parallel()
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho hello\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, path string
		want       []string
	}{
		{"noisy", os.Args[0], []string{"QuietStdout"}},
		{"misnamed", os.Args[0], []string{"Describe", "SealedImage"}},
		{"deaf", os.Args[0], []string{"LifeLine"}},
		{"lax", os.Args[0], []string{"ErrorCodes"}},
		{"script", script, []string{"Handshake", "NeedsCookie"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			target := Target{Path: c.path, Kind: plugins.KindSensor, Name: c.name, Env: noLinger}
			for _, rule := range Protocol() {
				if !slices.Contains(c.want, rule.Name) {
					continue
				}
				if err := rule.Run(t.Context(), target); err == nil {
					t.Errorf("%s was not found", rule.Name)
				} else {
					t.Log(err)
				}
			}
		})
	}
}
