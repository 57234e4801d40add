package client

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/plugins"
)

// camera is the sensor this test binary is as a plugin process.
type camera struct{ poor int }

func (*camera) Describe(context.Context) (core.SensorInfo, error) {
	return core.SensorInfo{Name: "camera", Version: "1", Samples: []core.SampleKind{core.SampleBytes}, Model: "made-up",
		Schema: []core.ConfigField{{Name: "poor", Type: "int"}}}, nil
}

func (c *camera) Configure(_ context.Context, cfg core.Config) error {
	for name, v := range cfg.Values {
		if name != "poor" || len(v) != 1 {
			return core.Errorf(core.Invalid, "camera", "unknown setting %q", name)
		}
		c.poor = int(v[0] - '0')
	}
	return nil
}

// Sample refuses the first captures, then shows what it was told of them.
func (c *camera) Sample(_ context.Context, p core.Prompt) (core.Sample, error) {
	if c.poor > 0 {
		c.poor--
		return core.Sample{}, core.Errorf(core.CaptureRefused, "camera", "too dark")
	}
	return core.NewSample(p.Kinds[0], []byte("seen after: "+p.Refusal)), nil
}

// pinnedCamera pins this test binary as the sensor.
func pinnedCamera(t *testing.T, settings map[string]string) PinnedPlugins {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("this test executes its own image as a plugin")
	}
	p := PinnedPlugins{Dir: filepath.Join(t.TempDir(), "plugins")}
	r := PinRequest{Kind: plugins.KindSensor, Name: "camera", Version: "1", Root: filepath.Dir(os.Args[0]), Main: filepath.Base(os.Args[0]), Settings: settings}
	if _, err := p.Pin(r); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestSensor(t *testing.T) {
	pinned := pinnedCamera(t, map[string]string{"poor": "2"})
	asked := 0
	typist := PrompterFunc(func(_ context.Context, p Prompt) (Sample, error) {
		asked++
		return NewSample(p.Kinds[0], []byte("123456")), nil
	})
	s, err := OpenSensor(t.Context(), SensorOptions{Pinned: pinned, Name: "camera", Else: typist})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if !slices.Equal(s.Kinds(), []SampleKind{core.SampleBytes}) {
		t.Errorf("kinds %v", s.Kinds())
	}
	got, err := s.Ask(t.Context(), Prompt{Kinds: []SampleKind{SamplePIN, core.SampleBytes}, Label: "x"})
	if err != nil || got.Kind != core.SampleBytes || got.Model != "made-up" || string(got.Data.Bytes()) != "seen after: too dark" {
		t.Errorf("the sensor's kind: %v of %q, %q, %v", got.Kind, got.Model, got.Data.Bytes(), err)
	}
	if _, err := s.Ask(t.Context(), Prompt{Kinds: []SampleKind{SamplePIN}, Label: "pin"}); err != nil || asked != 1 {
		t.Errorf("another kind: %d asked, %v", asked, err)
	}

	poor, err := OpenSensor(t.Context(), SensorOptions{Pinned: pinned, Name: "camera", Settings: map[string]string{"poor": "9"}})
	if err != nil {
		t.Fatal(err)
	}
	defer poor.Close()
	if _, err := poor.Ask(t.Context(), Prompt{Kinds: []SampleKind{core.SampleBytes}}); !errors.Is(err, core.CaptureRefused) {
		t.Errorf("nine poor captures: %v", err)
	}
	if _, err := poor.Ask(t.Context(), Prompt{Kinds: []SampleKind{SamplePIN}}); !errors.Is(err, core.Unsupported) {
		t.Errorf("another kind and nobody else: %v", err)
	}
	if _, err := OpenSensor(t.Context(), SensorOptions{Pinned: pinned, Name: "camera", Settings: map[string]string{"zoom": "9"}}); !errors.Is(err, core.Invalid) {
		t.Errorf("an unknown setting: %v", err)
	}
}

// req: K-10.2-04
func TestPinnedPlugins(t *testing.T) {
	pinned := pinnedCamera(t, map[string]string{"poor": "1"})
	first := files(t, pinned)
	if _, err := pinned.Pin(PinRequest{Kind: plugins.KindSensor, Name: "camera", Version: "2", Root: filepath.Dir(os.Args[0]), Main: filepath.Base(os.Args[0])}); err != nil {
		t.Fatal(err)
	}
	if again := files(t, pinned); len(again) != 1 || again[0] == first[0] {
		t.Errorf("pinned again: copies %v, before %v", again, first)
	}
	if got, err := pinned.Settings(plugins.KindSensor, "camera"); err != nil || got != nil {
		t.Errorf("settings of the version before: %v, %v", got, err)
	}
	if _, err := OpenSensor(t.Context(), SensorOptions{Pinned: pinned, Name: "microphone"}); !errors.Is(err, core.NotFound) || !strings.Contains(err.Error(), "[camera]") {
		t.Errorf("a sensor that is not pinned: %v", err)
	}
	for _, r := range []PinRequest{{Kind: plugins.KindSource, Name: "pin"}, {Kind: plugins.KindKDF, Name: DefaultKDF}} {
		r.Version, r.Root, r.Main = "1", filepath.Dir(os.Args[0]), filepath.Base(os.Args[0])
		if _, err := pinned.Pin(r); !errors.Is(err, core.Conflict) {
			t.Errorf("%s %s: %v, want conflict", r.Kind, r.Name, err)
		}
	}

	// Whoever changes the copy or the list is noticed before it runs.
	copied := filepath.Join(pinned.Dir, "files", files(t, pinned)[0], filepath.Base(os.Args[0]))
	if err := os.WriteFile(copied, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenSensor(t.Context(), SensorOptions{Pinned: pinned, Name: "camera"}); !errors.Is(err, core.Integrity) {
		t.Errorf("a changed copy: %v", err)
	}
	list := filepath.Join(pinned.Dir, "plugins.manifest")
	b, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(list, []byte(strings.Replace(string(b), "camera", "camerb", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := pinned.Catalog(); !errors.Is(err, core.Integrity) {
		t.Errorf("a changed list: %v", err)
	}
	if err := os.WriteFile(list, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := pinned.Unpin(plugins.KindSensor, "camera"); err != nil {
		t.Fatal(err)
	}
	if left := files(t, pinned); len(left) != 0 {
		t.Errorf("copies left: %v", left)
	}
	if err := pinned.Unpin(plugins.KindSensor, "camera"); !errors.Is(err, core.NotFound) {
		t.Errorf("unpinned twice: %v", err)
	}
}

func files(t *testing.T, p PinnedPlugins) (names []string) {
	t.Helper()
	list, err := os.ReadDir(filepath.Join(p.Dir, "files"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range list {
		names = append(names, f.Name())
	}
	return names
}
