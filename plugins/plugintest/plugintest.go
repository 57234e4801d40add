// Package plugintest puts plugins under test: through the glue inside the test
// process, as a real process with mutual TLS made by executing the test binary
// again, and, for any executable, as a black box.
//
// A test package that wants processes has
//
//	func TestMain(m *testing.M) {
//		plugintest.Main(m, plugins.Registry{Source: func(string) (core.Source, error) { return pin.New(), nil }})
//	}
//
// and then Source(t, "pin") is the source in a process of its own.
package plugintest

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/plugins"
	"github.com/keposs/keposs/plugins/internal/glue"
)

// Main is TestMain's body: the plugin of r, when this process was started as
// one, and the tests otherwise.
func Main(m *testing.M, r plugins.Registry) {
	plugins.MainIfPlugin(r)
	os.Exit(m.Run())
}

// An Ending gives back what an Open or Over function made.
type Ending = func() error

func started[T any](ctx context.Context, kind, name string, get func(*plugins.Supervisor, context.Context, plugins.Entry) (T, error)) (T, Ending, error) {
	sup := plugins.NewSupervisor(plugins.Options{})
	v, err := get(sup, ctx, plugins.Builtin(kind, name))
	if err == nil {
		err = sup.Warm(ctx, v)
	}
	if err != nil {
		var none T
		return none, nil, errors.Join(err, sup.Close())
	}
	return v, sup.Close, nil
}

// OpenSource starts the source of a name in a process of its own.
func OpenSource(ctx context.Context, name string) (core.Source, Ending, error) {
	return started(ctx, plugins.KindSource, name, (*plugins.Supervisor).Source)
}

// OpenSensor starts the sensor of a name.
func OpenSensor(ctx context.Context, name string) (core.Sensor, Ending, error) {
	return started(ctx, plugins.KindSensor, name, (*plugins.Supervisor).Sensor)
}

// OpenKDF starts the KDF of a name.
func OpenKDF(ctx context.Context, name string) (core.KDF, Ending, error) {
	return started(ctx, plugins.KindKDF, name, (*plugins.Supervisor).KDF)
}

// OpenBackend starts the backend of a name.
func OpenBackend(ctx context.Context, name string) (core.Backend, Ending, error) {
	return started(ctx, plugins.KindBackend, name, (*plugins.Supervisor).Backend)
}

// KillBackend ends the process of a backend OpenBackend started, as kill -9 does.
func KillBackend(b core.Backend) error {
	info, _ := plugins.InfoOf(b)
	if info.PID <= 0 {
		return errors.New("the backend's process does not run")
	}
	p, err := os.FindProcess(info.PID)
	if err != nil {
		return err
	}
	return p.Kill()
}

// OverSource is s behind the glue, in this process.
func OverSource(ctx context.Context, s core.Source) (core.Source, Ending, error) {
	h, end, err := glue.Local(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	return h.Source(), end, nil
}

// OverSensor is s behind the glue.
func OverSensor(ctx context.Context, s core.Sensor) (core.Sensor, Ending, error) {
	h, end, err := glue.Local(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	return h.Sensor(), end, nil
}

// OverKDF is k behind the glue.
func OverKDF(ctx context.Context, k core.KDF) (core.KDF, Ending, error) {
	h, end, err := glue.Local(ctx, k)
	if err != nil {
		return nil, nil, err
	}
	return h.KDF(), end, nil
}

// OverBackend is b behind the glue; closing it or ending it closes b.
func OverBackend(ctx context.Context, b core.Backend) (core.Backend, Ending, error) {
	h, end, err := glue.Local(ctx, b)
	if err != nil {
		return nil, nil, err
	}
	return &local{h.Backend(), end}, end, nil
}

// local ends the glue with the store.
type local struct {
	*glue.Backend
	end Ending
}

func (l *local) Close() error { return errors.Join(l.Backend.Close(), l.end()) }

func give[T any](t testing.TB, v T, end Ending, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := end(); err != nil {
			t.Errorf("end the plugin: %v", err)
		}
	})
	return v
}

// Source is OpenSource for the length of a test.
func Source(t testing.TB, name string) core.Source {
	t.Helper()
	v, end, err := OpenSource(context.Background(), name)
	return give(t, v, end, err)
}

// Sensor is OpenSensor for the length of a test.
func Sensor(t testing.TB, name string) core.Sensor {
	t.Helper()
	v, end, err := OpenSensor(context.Background(), name)
	return give(t, v, end, err)
}

// KDF is OpenKDF for the length of a test.
func KDF(t testing.TB, name string) core.KDF {
	t.Helper()
	v, end, err := OpenKDF(context.Background(), name)
	return give(t, v, end, err)
}

// Backend is OpenBackend for the length of a test.
func Backend(t testing.TB, name string) core.Backend {
	t.Helper()
	v, end, err := OpenBackend(context.Background(), name)
	return give(t, v, end, err)
}

// GlueSource is OverSource for the length of a test.
func GlueSource(t testing.TB, s core.Source) core.Source {
	t.Helper()
	v, end, err := OverSource(context.Background(), s)
	return give(t, v, end, err)
}

// GlueSensor is OverSensor for the length of a test.
func GlueSensor(t testing.TB, s core.Sensor) core.Sensor {
	t.Helper()
	v, end, err := OverSensor(context.Background(), s)
	return give(t, v, end, err)
}

// GlueKDF is OverKDF for the length of a test.
func GlueKDF(t testing.TB, k core.KDF) core.KDF {
	t.Helper()
	v, end, err := OverKDF(context.Background(), k)
	return give(t, v, end, err)
}

// GlueBackend is OverBackend for the length of a test.
func GlueBackend(t testing.TB, b core.Backend) core.Backend {
	t.Helper()
	v, end, err := OverBackend(context.Background(), b)
	return give(t, v, end, err)
}
