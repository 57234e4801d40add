package check

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	hclog "github.com/hashicorp/go-hclog"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/plugins"
	"github.com/keposs/keposs/ppd/ppdtest"
)

// Diagnose says what this machine lacks to run t's program, as far as the file
// itself tells; nil when nothing is known to be lacking.
func Diagnose(ctx context.Context, path string) error { return runnable(ctx, Target{Path: path}) }

// Lacks finds in a failed start what the program did not find on this machine;
// nil if it names nothing.
func Lacks(err error) *Missing {
	var s *plugins.StartError
	if errors.As(err, &s) {
		return missing(s.Stderr)
	}
	return nil
}

// Watch is who looks on while a plugin is exercised.
type Watch struct {
	Tell    func(line string)              // every call and frame, without secrets
	Log     hclog.Logger                   // what the program says on standard error
	Started func(pid int) error            // once it runs, before it is configured; nil = nothing
	Event   func(what string, failed bool) // one step of the exercise
}

// Exercise uses t's program once as a host does: it is described, configured
// and asked for what its kind is for, with made-up samples and secrets. The
// first failure ends it.
func Exercise(ctx context.Context, t Target, w Watch) (err error) {
	e, err := t.entry()
	if err != nil {
		return err
	}
	sup := plugins.NewSupervisor(plugins.Options{Unpinned: true, Logger: w.Log, Trace: w.Tell})
	defer func() { err = errors.Join(err, sup.Close()) }()
	begin := func(v any, err error) error {
		if err == nil {
			err = sup.Warm(ctx, v)
		}
		if err != nil {
			if m := Lacks(err); m != nil {
				return fmt.Errorf("%w; %s", m, m.Fix)
			}
			return err
		}
		if i, _ := plugins.InfoOf(v); w.Started != nil {
			return w.Started(i.PID)
		}
		return nil
	}
	switch t.Kind {
	case plugins.KindSource:
		s, err := sup.Source(ctx, e)
		if err = begin(s, err); err != nil {
			return err
		}
		return w.source(ctx, s, t.Config)
	case plugins.KindSensor:
		s, err := sup.Sensor(ctx, e)
		if err = begin(s, err); err != nil {
			return err
		}
		return w.sensor(ctx, s, t.Config)
	case plugins.KindKDF:
		k, err := sup.KDF(ctx, e)
		if err = begin(k, err); err != nil {
			return err
		}
		return w.kdf(ctx, k)
	default:
		b, err := sup.Backend(ctx, e)
		if err = begin(b, err); err != nil {
			return err
		}
		return w.backend(ctx, b, t.Config)
	}
}

// step reports how one step ended.
func (w Watch) step(what string, err error) error {
	if err != nil {
		w.Event(fmt.Sprintf("%s: %v", what, err), true)
		return err
	}
	w.Event(what, false)
	return nil
}

// configure gives p its settings; nil leaves it as it is.
func (w Watch) configure(ctx context.Context, p interface {
	Configure(context.Context, core.Config) error
}, config map[string]string) error {
	if config == nil {
		return nil
	}
	return w.step("configure", p.Configure(ctx, core.Config{Values: config}))
}

func (w Watch) source(ctx context.Context, s core.Source, config map[string]string) error {
	i, err := s.Describe(ctx)
	if err := w.step("describe", err); err != nil {
		return err
	}
	if err := w.configure(ctx, s, config); err != nil {
		return err
	}
	of, _ := person(i.Samples)
	if of == nil {
		w.Event(fmt.Sprintf("there are no made-up samples of the kinds %v: no enrolment", i.Samples), false)
		return nil
	}
	var key *secret.Buffer // knowledge has none
	if i.Kind == core.KindBiometric {
		key = secret.Copy([]byte(strings.Repeat("k", 32)))
		defer key.Wipe()
	}
	e, err := s.Enroll(ctx, core.EnrollRequest{Label: "debug", BindKey: key}, of(1))
	if err := w.step("enrol a made-up person", err); err != nil {
		return err
	}
	defer e.Secret.Wipe()
	for _, who := range []struct {
		what string
		seed uint64
	}{{"the same person", 1}, {"a stranger", 2}} {
		r := core.CaptureRequest{Label: "debug", Format: e.Format}
		if i.Kind == core.KindKnowledge {
			r.Params = e.Helper
		}
		c, err := s.Capture(ctx, r, of(who.seed))
		if err == nil {
			var got *secret.Buffer
			if got, err = c.Recover(ctx, core.RecoverRequest{Helper: e.Helper, BindKey: key}); err == nil {
				who.what += map[bool]string{true: ": the secret of the enrolment", false: ": another secret"}[got.Equal(e.Secret)]
				got.Wipe()
			}
			err = errors.Join(err, c.Close())
		}
		if err := w.step("recover as "+who.what, err); err != nil {
			return err
		}
	}
	return nil
}

func (w Watch) sensor(ctx context.Context, s core.Sensor, config map[string]string) error {
	i, err := s.Describe(ctx)
	if err := w.step("describe", err); err != nil {
		return err
	}
	if err := w.configure(ctx, s, config); err != nil {
		return err
	}
	for _, k := range i.Samples {
		got, err := s.Sample(ctx, core.Prompt{Kinds: []core.SampleKind{k}, Label: "debug", Purpose: core.PurposeEnroll, Index: 1, Total: 1})
		if err := w.step("sample "+string(k), err); err != nil {
			return err
		}
		got.Data.Wipe()
	}
	return nil
}

func (w Watch) kdf(ctx context.Context, k core.KDF) error {
	i, err := k.Describe(ctx)
	if err := w.step("describe", err); err != nil {
		return err
	}
	if err := w.step("validate "+i.Default.String(), k.Validate(i.Default, core.Limits{})); err != nil {
		return err
	}
	out := make([]byte, 32)
	start := time.Now()
	err = k.Derive(ctx, i.Default, []byte("a made-up password"), []byte("16 bytes of salt"), out)
	return w.step(fmt.Sprintf("derive 32 bytes in %v", time.Since(start).Round(time.Millisecond)), err)
}

func (w Watch) backend(ctx context.Context, b core.Backend, config map[string]string) error {
	if _, err := b.Describe(ctx); w.step("describe", err) != nil {
		return err
	}
	if config == nil {
		w.Event("no settings for a store were given: nothing is written", false)
		return nil
	}
	dir, err := os.MkdirTemp("", "keposs-debug-")
	if err != nil {
		return core.Errorf(core.Environment, "plugin debug", "%w", err)
	}
	defer os.RemoveAll(dir)
	c, _, _ := filled(config, dir)
	if err := w.configure(ctx, b, c.Values); err != nil {
		return err
	}
	key := core.Key("keposs plugin debug")
	had, err := b.GetMany(ctx, []core.Key{key}, core.ReadOpts{})
	if err == nil && len(had) != 1 {
		err = core.Errorf(core.Internal, "plugin debug", "%d records for one key", len(had))
	}
	if err := w.step("read an absent record", err); err != nil {
		return err
	}
	put := core.Mutation{Key: key, Expect: had[0].Version, Op: core.OpPut, Hot: []byte("hot"), Blob: []byte("blob"), ReqID: core.ReqID{1}}
	for _, m := range []core.Mutation{put, {Key: key, Expect: put.Expect + 1, Op: core.OpDelete, ReqID: core.ReqID{2}}} {
		r, err := b.CommitMany(ctx, []core.Mutation{m})
		if err == nil && len(r) == 1 {
			err = r[0].Err
		}
		if err := w.step(m.Op.String()+" it", err); err != nil {
			return err
		}
	}
	return w.step("close", b.Close())
}

// person makes the kit's made-up people for a source of these kinds, and a
// sample such a source refuses as poor; nil where there are none.
func person(kinds []core.SampleKind) (of func(seed uint64) ppdtest.Person, poor func(core.Prompt) core.Sample) {
	switch {
	case slices.Contains(kinds, core.SamplePIN):
		return ppdtest.PIN, ppdtest.PoorPIN
	case slices.Contains(kinds, core.SamplePattern):
		return ppdtest.Pattern, ppdtest.PoorPattern
	case slices.Contains(kinds, core.SampleISOFMR):
		return ppdtest.Finger, ppdtest.PoorFinger
	case slices.Contains(kinds, core.SampleFaceEmbedding):
		return ppdtest.Face, nil
	}
	return nil, nil
}
