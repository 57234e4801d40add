package client

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/plugins"
)

// SensorOptions names a pinned sensor.
type SensorOptions struct {
	Pinned   PinnedPlugins
	Name     string
	Settings map[string]string // over those it was pinned with
	Plugins  func(PluginEvent) // hears what happens to its process; nil = none

	// Else answers the prompts of kinds the sensor does not declare.
	Else Prompter
}

// A Sensor is a Prompter that has a sensor plugin answer the prompts of the
// kinds it declares. The plugin runs as a process of its own, from a measured
// copy, and nothing else is ever started for it. Safe for concurrent use; the
// caller closes it.
type Sensor struct {
	sup   *plugins.Supervisor
	plug  core.Sensor
	kinds []core.SampleKind
	model string
	other Prompter
}

var _ Prompter = (*Sensor)(nil)

const (
	maxSensorSample = 1 << 20 // bytes of one sample
	maxRetakes      = 8       // captures a sensor may refuse in a row
)

// OpenSensor starts a pinned sensor and gives it its settings. Errors: NotFound
// for a name that is not pinned, Integrity for files that are not the pinned
// ones, and the plugin's own.
func OpenSensor(ctx context.Context, o SensorOptions) (*Sensor, error) {
	const op = "client: sensor"
	c, err := o.Pinned.Catalog()
	if err != nil {
		return nil, err
	}
	if _, ok := c.Manifest.Find(plugins.KindSensor, o.Name); !ok {
		var have []string
		for _, p := range c.Manifest.Plugins {
			if p.Kind == plugins.KindSensor {
				have = append(have, p.Name)
			}
		}
		return nil, core.Errorf(core.NotFound, op, "no sensor %.32q is pinned, only [%s]; pin it with keposs plugin pin", o.Name, strings.Join(have, " "))
	}
	settings, err := o.Pinned.Settings(plugins.KindSensor, o.Name)
	if err != nil {
		return nil, err
	}
	settings = maps.Clone(settings)
	if settings == nil {
		settings = map[string]string{}
	}
	maps.Copy(settings, o.Settings)
	var events func(plugins.Event)
	if o.Plugins != nil {
		events = func(e plugins.Event) { o.Plugins(PluginEvent(e)) }
	}
	s := &Sensor{sup: plugins.NewSupervisor(plugins.Options{Events: events}), other: o.Else}
	entry := c.Entry(plugins.KindSensor, o.Name)
	s.sup.Seal(entry)
	if err := s.start(ctx, entry, settings); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Sensor) start(ctx context.Context, e plugins.Entry, settings map[string]string) (err error) {
	if s.plug, err = s.sup.Sensor(ctx, e); err != nil {
		return err
	}
	if len(settings) > 0 {
		if err := s.plug.Configure(ctx, core.Config{Values: settings}); err != nil {
			return err
		}
	}
	i, err := s.plug.Describe(ctx)
	if err != nil {
		return err
	}
	if len(i.Samples) == 0 {
		return core.Errorf(core.Invalid, "client: sensor", "%s declares no kind of sample", e.Name)
	}
	s.kinds, s.model = i.Samples, i.Model
	return nil
}

// Kinds are what the sensor answers.
func (s *Sensor) Kinds() []SampleKind { return slices.Clone(s.kinds) }

// Ask implements Prompter. A capture the sensor refuses as too poor is taken
// again, eight times at most; no try is counted for it.
func (s *Sensor) Ask(ctx context.Context, q Prompt) (Sample, error) {
	const op = "client: sensor"
	var kinds []core.SampleKind
	for _, k := range q.Kinds {
		if slices.Contains(s.kinds, k) {
			kinds = append(kinds, k)
		}
	}
	if kinds == nil {
		if s.other == nil {
			return Sample{}, core.Errorf(core.Unsupported, op, "%s: nothing here answers %v", q.Label, q.Kinds)
		}
		return s.other.Ask(ctx, q)
	}
	q.Kinds = kinds
	for retake := 0; ; retake++ {
		got, err := s.plug.Sample(ctx, q)
		if err == nil {
			return s.checked(q, got)
		}
		if !errors.Is(err, core.CaptureRefused) || retake == maxRetakes {
			return Sample{}, err
		}
		q.Refusal = reason(err)
	}
}

// checked refuses what no host takes; the sample is wiped then.
func (s *Sensor) checked(q Prompt, got Sample) (Sample, error) {
	const op = "client: sensor"
	switch {
	case !slices.Contains(q.Kinds, got.Kind):
		got.Data.Wipe()
		return Sample{}, core.Errorf(core.Invalid, op, "%s: the sensor answered another kind than one of %v", q.Label, q.Kinds)
	case got.Data.Len() == 0 || got.Data.Len() > maxSensorSample:
		n := got.Data.Len()
		got.Data.Wipe()
		return Sample{}, core.Errorf(core.Invalid, op, "%s: a sample of %d bytes, want 1 to %d", q.Label, n, maxSensorSample)
	}
	if got.Model == "" {
		got.Model = s.model
	}
	return got, nil
}

// reason is what a person reads of a refusal.
func reason(err error) string {
	var e *core.Error
	if errors.As(err, &e) && e.Msg != "" {
		return e.Msg
	}
	return "the capture was too poor"
}

// Close ends the plugin's process and waits for it. It may be called repeatedly.
func (s *Sensor) Close() error { return s.sup.Close() }
