package check

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/ppd/face"
	"github.com/keposs/keposs/ppd/fingerprint"
)

// maxSample is the host's cap on one sample, in bytes.
const maxSample = 1 << 20

var kindName = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)

// a sensorRule is one case on a sensor, however it was made.
type sensorRule struct {
	name, rule, advice string
	run                func(ctx context.Context, s core.Sensor, i core.SensorInfo) error
}

var sensorRules = []sensorRule{
	{"SensorDescribes", "N1 A sensor declares the kinds of samples it takes, and its model.", "List the kinds in SensorInfo.samples; name the model or extractor, so that a source can bind to it.", sensorDescribes},
	{"SensorSamples", "N1 A prompt of a declared kind gets a sample of that kind.", "Return the kind that was asked for, in the form core.SampleKind documents.", sensorSamples},
	{"SensorModel", "N1 Every sample names the model of SensorInfo.", "Set Sample.model to what Describe says.", sensorModel},
	{"SensorRefusesKinds", "N1 A kind that was not declared is unsupported.", "Look at the prompt's kinds before capturing.", sensorRefuses},
	{"SensorCancels", "M4 A capture ends when its caller gives up, and the sensor stays usable.", "Watch the call's context while the camera or reader waits.", sensorCancels},
	{"SensorRefusesSettings", "Unknown settings are Invalid and change nothing.", "Compare every name with the schema before using a value.", sensorSettings},
}

// sensorKit is what a host relies on in a sensor, on supervised processes.
func sensorKit(t Target) []Case {
	var out []Case
	for _, r := range sensorRules {
		out = append(out, Case{Name: r.name, Rule: r.rule, Advice: r.advice, Group: "kit", Run: func(ctx context.Context, _ Target) (err error) {
			sup, e, err := supervised(t)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, sup.Close()) }()
			s, err := sup.Sensor(ctx, e)
			if err != nil {
				return err
			}
			return r.on(ctx, s, t.Config)
		}})
	}
	return out
}

// on gives s its settings and runs the rule.
func (r sensorRule) on(ctx context.Context, s core.Sensor, config map[string]string) error {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	if config != nil {
		if err := s.Configure(ctx, core.Config{Values: config}); err != nil {
			return err
		}
	}
	i, err := s.Describe(ctx)
	if err != nil {
		return err
	}
	return r.run(ctx, s, i)
}

// Sensor is the sensor kit inside go test, on fresh values of this process;
// config is what each is given first, nil = nothing.
func Sensor(t *testing.T, fresh func() core.Sensor, config map[string]string) {
	t.Helper()
	for _, r := range sensorRules {
		t.Run(r.name, func(t *testing.T) {
			err := r.on(t.Context(), fresh(), config)
			if why, skipped := skip(err); skipped {
				t.Skip(why)
			}
			if err != nil {
				t.Errorf("%v\nrule: %s\nwhat to do: %s", err, r.rule, r.advice)
			}
		})
	}
}

func sensorSettings(ctx context.Context, s core.Sensor, _ core.SensorInfo) error {
	err := s.Configure(ctx, core.Config{Values: map[string]string{"no_such_setting_here": "1"}})
	if code := core.CodeOf(err); err == nil || code != core.Invalid && code != core.Unsupported {
		return fmt.Errorf("an unknown setting answers %v, want invalid", err)
	}
	return nil
}

func sensorDescribes(_ context.Context, _ core.Sensor, i core.SensorInfo) error {
	if len(i.Samples) == 0 {
		return errors.New("it declares no kind of sample")
	}
	for _, k := range i.Samples {
		if !kindName.MatchString(string(k)) {
			return fmt.Errorf("%.40q is no name of a kind: want [a-z0-9-]{1,32}", k)
		}
	}
	if i.Model == "" || len(i.Model) > 128 {
		return fmt.Errorf("the model has %d bytes, want 1 to 128", len(i.Model))
	}
	return nil
}

// ask takes one sample of a kind; the caller wipes it.
func ask(ctx context.Context, s core.Sensor, kind core.SampleKind) (core.Sample, error) {
	got, err := s.Sample(ctx, core.Prompt{
		Kinds: []core.SampleKind{kind}, Label: "check", Purpose: core.PurposeEnroll, Index: 1, Total: 1, Text: "a check asks for one sample", Grid: 3,
	})
	switch code := core.CodeOf(err); {
	case err == nil:
		return got, nil
	case code == core.CaptureRefused || code == core.State || code == core.NotFound:
		return got, Skip(fmt.Sprintf("there was nothing to capture (%v); give it something with --config", err))
	}
	return got, err
}

func sensorSamples(ctx context.Context, s core.Sensor, i core.SensorInfo) error {
	for _, kind := range i.Samples {
		got, err := ask(ctx, s, kind)
		if err != nil {
			return err
		}
		err = wellFormed(kind, got)
		got.Data.Wipe()
		if err != nil {
			return err
		}
	}
	return nil
}

// wellFormed checks the form of the kinds the built-in sources read.
func wellFormed(kind core.SampleKind, s core.Sample) error {
	if s.Kind != kind {
		return fmt.Errorf("asked for %s it answers %.40q", kind, s.Kind)
	}
	if n := s.Data.Len(); n == 0 || n > maxSample {
		return fmt.Errorf("a sample of %d bytes, want 1 to %d", n, maxSample)
	}
	switch kind {
	case core.SampleFaceEmbedding:
		if err := embedding(s.Data.Bytes()); err != nil {
			return fmt.Errorf("not an embedding: %w", err)
		}
	case core.SampleISOFMR:
		if _, err := fingerprint.ParseFMR(s.Data.Bytes()); err != nil {
			return fmt.Errorf("not a minutiae record: %w", err)
		}
	}
	return nil
}

// fewest values make an embedding; the face source takes up to face.MaxDim.
const fewest = 16

// embedding checks one answer in any of the forms face.ParseSample reads, of
// whatever dimension it has.
func embedding(b []byte) error {
	dim := len(b) / 4
	var j struct {
		Embedding []float64   `json:"embedding"`
		Captures  [][]float64 `json:"captures"`
	}
	switch {
	case len(b) > 0 && b[0] == '{' && json.Unmarshal(b, &j) == nil:
		if dim = len(j.Embedding); len(j.Captures) > 0 {
			dim = len(j.Captures[0])
		}
	case len(b) > 0 && b[0] == 0x93: // .npy
		a, err := face.ReadNPY(b, face.MaxCaptures*face.MaxDim)
		if err != nil {
			return err
		}
		dim = len(a.Data) / max(a.Rows, 1)
		clear(a.Data)
	}
	if dim < fewest || dim > face.MaxDim {
		return fmt.Errorf("%d values, want %d to %d", dim, fewest, face.MaxDim)
	}
	rows, _, err := face.ParseSample(b, dim)
	for _, r := range rows {
		clear(r)
	}
	clear(j.Embedding)
	return err
}

func sensorModel(ctx context.Context, s core.Sensor, i core.SensorInfo) error {
	if len(i.Samples) == 0 {
		return Skip("it declares no kind of sample")
	}
	got, err := ask(ctx, s, i.Samples[0])
	if err != nil {
		return err
	}
	got.Data.Wipe()
	if got.Model != i.Model {
		return fmt.Errorf("a sample says %.64q, Describe says %.64q", got.Model, i.Model)
	}
	return nil
}

func sensorRefuses(ctx context.Context, s core.Sensor, i core.SensorInfo) error {
	const strange = core.SampleKind("no-such-kind")
	if slices.Contains(i.Samples, strange) {
		return Skip("it declares every kind")
	}
	got, err := s.Sample(ctx, core.Prompt{Kinds: []core.SampleKind{strange}, Label: "check", Index: 1, Total: 1})
	if err == nil {
		got.Data.Wipe()
		return errors.New("a kind it did not declare is answered")
	}
	if code := core.CodeOf(err); code != core.Unsupported && code != core.Invalid {
		return fmt.Errorf("a kind it did not declare is %v (%v), want unsupported", code, err)
	}
	return nil
}

func sensorCancels(ctx context.Context, s core.Sensor, i core.SensorInfo) error {
	if len(i.Samples) == 0 {
		return Skip("it declares no kind of sample")
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	start := time.Now()
	got, err := s.Sample(short, core.Prompt{Kinds: i.Samples[:1], Label: "check", Index: 1, Total: 1})
	cancel()
	if err == nil {
		got.Data.Wipe()
	}
	if took := time.Since(start); took > time.Second {
		return fmt.Errorf("it went on for %v", took.Round(time.Millisecond))
	}
	after, err := s.Describe(ctx)
	if err == nil && after.Name != i.Name {
		err = fmt.Errorf("afterwards it calls itself %.32q", after.Name)
	}
	return err
}
