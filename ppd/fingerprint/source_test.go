package fingerprint_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/internal/testenv"
	"github.com/keposs/keposs/plugins"
	"github.com/keposs/keposs/plugins/plugintest"
	"github.com/keposs/keposs/ppd/fingerprint"
	"github.com/keposs/keposs/ppd/ppdtest"
)

var ctx = context.Background()

func TestMain(m *testing.M) {
	plugintest.Main(m, plugins.Registry{Source: func(string) (core.Source, error) { return fingerprint.New(quick) }})
}

// quick searches little within an unchanged answer time; patient searches to the
// end, so that a busy machine does not turn a match into a refusal.
var (
	quick   = &fingerprint.Options{Work: 21}
	patient = &fingerprint.Options{Work: 21, Patience: time.Minute}
)

func source(t testing.TB, o *fingerprint.Options) *fingerprint.Source {
	t.Helper()
	s, err := fingerprint.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func harness(t *testing.T) ppdtest.Harness {
	return ppdtest.Harness{New: func() core.Source { return source(t, quick) }, Person: ppdtest.Finger, Poor: ppdtest.PoorFinger, Takes: 2, TakesOf: 3}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	ppdtest.Run(t, harness(t))
}

func TestConformanceAsProcess(t *testing.T) {
	t.Parallel()
	testenv.NeedLevel(t, 1) // as long again
	h := harness(t)
	h.Transport = &ppdtest.Transport{Name: "process", Open: func(ctx context.Context) (core.Source, func() error, error) {
		return plugintest.OpenSource(ctx, "fingerprint")
	}}
	ppdtest.Run(t, h)
}

func key(b byte) *secret.Buffer { return secret.Copy(bytes.Repeat([]byte{b}, 32)) }

func enrol(t testing.TB, s *fingerprint.Source, r core.EnrollRequest, p core.Prompter) core.Enrollment {
	t.Helper()
	e, err := s.Enroll(ctx, r, p)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func recovered(t testing.TB, s *fingerprint.Source, format uint32, r core.RecoverRequest, p core.Prompter) (*secret.Buffer, time.Duration) {
	t.Helper()
	c, err := s.Capture(ctx, core.CaptureRequest{Format: format}, p)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	start := time.Now()
	sec, err := c.Recover(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	return sec, time.Since(start)
}

// req: K-6.1-02b
// Every profile opens for its fingers and not for others; helpers keep their
// length, under 200 bytes for one finger.
func TestProfiles(t *testing.T) {
	t.Parallel()
	s := source(t, patient)
	for format := uint32(1); format <= 5; format++ {
		right, wrong := 0, 0
		const people = 3
		for who := range uint64(people) {
			e := enrol(t, s, core.EnrollRequest{Format: format, BindKey: key(1)}, hands{who})
			if e.Format != format || format <= 3 && len(e.Helper) >= 200 {
				t.Fatalf("format %d: enrolled %d with a helper of %d bytes", format, e.Format, len(e.Helper))
			}
			r := core.RecoverRequest{Helper: e.Helper, BindKey: key(1)}
			if got, _ := recovered(t, s, format, r, hands{who}); got.Equal(e.Secret) {
				right++
			}
			if got, _ := recovered(t, s, format, r, hands{who + 10}); got.Equal(e.Secret) {
				wrong++
			}
		}
		if right < people-1 || wrong != 0 {
			t.Errorf("format %d: %d of %d right and %d wrong people opened", format, right, people, wrong)
		}
	}
}

// hands presents finger 2·who, then, where two are asked for, 2·who+1.
type hands struct{ who uint64 }

func (h hands) Ask(ctx context.Context, q core.Prompt) (core.Sample, error) {
	return ppdtest.Finger(2*h.who+uint64(strings.Count(q.Text, "second"))).Ask(ctx, q)
}

// A record of several views fills several prompts.
func TestSeveralViews(t *testing.T) {
	t.Parallel()
	s := source(t, patient)
	gen := ppdtest.NewFingers(4)
	var views []fingerprint.View
	for n := range 3 {
		v, err := fingerprint.ParseFMR(gen.Impression(1, n))
		if err != nil {
			t.Fatal(err)
		}
		v[0].Position = uint8(n) // the generator's records carry no position
		views = append(views, v[0])
	}
	asked := 0
	e := enrol(t, s, core.EnrollRequest{BindKey: key(1)}, core.PrompterFunc(func(context.Context, core.Prompt) (core.Sample, error) {
		asked++
		return core.NewSample(core.SampleISOFMR, record(t, views...)), nil
	}))
	if asked != 1 {
		t.Errorf("%d prompts for a record of three views", asked)
	}
	one := core.PrompterFunc(func(context.Context, core.Prompt) (core.Sample, error) {
		return core.NewSample(core.SampleISOFMR, gen.Impression(1, 50)), nil
	})
	if got, _ := recovered(t, s, e.Format, core.RecoverRequest{Helper: e.Helper, BindKey: key(1)}, one); !got.Equal(e.Secret) {
		t.Error("not recovered")
	}
}

// req: G-7.10-06
// What cannot be enrolled is refused with what to do.
func TestEnrolmentGates(t *testing.T) {
	t.Parallel()
	s := source(t, quick)
	gen := ppdtest.NewFingers(4)
	answer := func(rec func(index int) []byte) core.Prompter {
		return core.PrompterFunc(func(_ context.Context, q core.Prompt) (core.Sample, error) {
			return core.NewSample(core.SampleISOFMR, rec(q.Index)), nil
		})
	}
	for name, c := range map[string]struct {
		p    core.Prompter
		code core.Code
		says string
	}{
		"three fingers as one": {answer(func(i int) []byte { return gen.Impression(i, 1) }), core.CaptureRefused, "middle of the finger"},
		"one impression again": {answer(func(int) []byte { return gen.Impression(1, 1) }), core.CaptureRefused, "lift the finger"},
		"hardly a finger":      {answer(func(int) []byte { return record(t, view(1, 5)) }), core.CaptureRefused, "cover the reader"},
		"no record":            {answer(func(int) []byte { return []byte("a photograph") }), core.Invalid, "not a finger minutiae record"},
		"small finger": {answer(func(i int) []byte {
			v, err := fingerprint.ParseFMR(gen.Impression(1, i))
			if err != nil {
				t.Fatal(err)
			}
			v[0].Minutiae = v[0].Minutiae[:18]
			return record(t, v...)
		}), core.CaptureRefused, "finger"},
	} {
		_, err := s.Enroll(ctx, core.EnrollRequest{BindKey: key(1)}, c.p)
		if !errors.Is(err, c.code) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Match and refusal answer at the declared time, neither before nor much after,
// with the source as people have it: a search is given up in time.
func TestConstantAnswerTime(t *testing.T) {
	t.Parallel()
	s := source(t, quick)
	e := enrol(t, s, core.EnrollRequest{BindKey: key(1)}, ppdtest.Finger(1))
	want := fingerprint.AnswerTime(quick.Work)
	for _, who := range []uint64{1, 9} {
		_, took := recovered(t, s, e.Format, core.RecoverRequest{Helper: e.Helper, BindKey: key(1)}, ppdtest.Finger(who))
		if took < want || took > want+time.Minute {
			t.Errorf("person %d answered after %v, declared %v", who, took, want)
		}
	}
}

// A recovery ends with its context.
func TestRecoverCanceled(t *testing.T) {
	t.Parallel()
	s := source(t, nil)
	e := enrol(t, s, core.EnrollRequest{BindKey: key(1)}, ppdtest.Finger(1))
	c, err := s.Capture(ctx, core.CaptureRequest{Format: e.Format}, ppdtest.Finger(2))
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := c.Recover(ended, core.RecoverRequest{Helper: e.Helper, BindKey: key(1)}); !errors.Is(err, core.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestMisuse(t *testing.T) {
	t.Parallel()
	s := source(t, quick)
	e := enrol(t, s, core.EnrollRequest{BindKey: key(1)}, ppdtest.Finger(1))
	for name, r := range map[string]core.RecoverRequest{"short helper": {Helper: e.Helper[1:], BindKey: key(1)}, "no helper": {BindKey: key(1)}} {
		c, err := s.Capture(ctx, core.CaptureRequest{Format: 1}, ppdtest.Finger(1))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Recover(ctx, r); !errors.Is(err, core.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.Enroll(ctx, core.EnrollRequest{}, ppdtest.Finger(1)); !errors.Is(err, core.Usage) {
		t.Errorf("no bind key: %v", err)
	}
	for name, v := range map[string]map[string]string{"k": {"profile": "7"}, "two fingers with nine": {"fingers": "2", "profile": "9"},
		"work": {"work": "26"}, "captures": {"enroll_captures": "1"}, "text": {"work": "much"}} {
		if err := s.Configure(ctx, core.Config{Values: v}); !errors.Is(err, core.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.Configure(ctx, core.Config{Values: map[string]string{"fingers": "2"}}); err != nil {
		t.Fatal(err)
	}
	if i, _ := s.Describe(ctx); i.Format != 4 || i.RecoverCaptures.Max != 2 {
		t.Errorf("two fingers give format %d with up to %d captures", i.Format, i.RecoverCaptures.Max)
	}
}

func BenchmarkEnrol(b *testing.B) {
	s := source(b, nil)
	for b.Loop() {
		enrol(b, s, core.EnrollRequest{BindKey: key(1)}, ppdtest.Finger(1)).Secret.Wipe()
	}
}
