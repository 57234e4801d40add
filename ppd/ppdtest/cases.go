package ppdtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/internal/poisson"
)

// Cases returns the kit, in the order a person would read it.
func Cases() []Case {
	return []Case{
		{"DescribeStable", "Describe returns the same values at every call", "make Describe a constant of the configuration", "describe", 0, describeStable},
		{"DescribeSound", "Describe tells kind, formats, samples, captures and evidence", "fill every field of SourceInfo; Formats holds Format", "describe", 0, describeSound},
		{"UnknownConfigRefused", "An unknown name or a bad value is Invalid and changes nothing", "refuse every name that Schema does not list", "describe", 0, unknownConfig},
		{"UnknownParamRefused", "unknown enrolment parameters are Invalid", "refuse every name that Params does not list", "enrol", 0, unknownParam},
		{"UnknownFormatRefused", "a format not served is Unsupported", "serve only what Formats lists", "enrol", 0, unknownFormat},
		{"RoundTrip", "Recover yields the enrolled secret if the samples match", "Enroll and Recover must derive the same secret", "recover", 0, roundTrip},
		{"AlwaysASecret", "a wrong sample gives another secret, never an error", "never tell in Recover whether the sample matched", "recover", 0, alwaysASecret},
		{"SecondRecoverIsState", "a second Recover is State", "remember that Recover was called", "recover", 0, secondRecover},
		{"CloseEndsCapture", "Close wipes the samples and may be repeated", "after Close, Recover gives no secret", "recover", 0, closeEnds},
		{"BindSeparation", "a biometric under another bind key gives another secret", "key the feature transform with BindKey", "privacy", 0, bindSeparation},
		{"Renewability", "two enrolments of one biometric give unrelated secrets and helpers", "draw fresh randomness at each enrolment", "privacy", 0, renewability},
		{"HelperFixedLength", "the helper has HelperSize bytes for everyone", "pad the helper to one length", "privacy", 0, helperLength},
		{"HelperHoldsNoSecret", "the helper is public", "keep the secret, and any hash of it, out of the helper", "privacy", 0, helperNoSecret},
		{"Cancel", "ctx ends any call within 100 ms", "select on ctx.Done wherever the source waits", "robustness", 0, cancels},
		{"RefusalAsksAgain", "a poor sample is asked for again with a reason and counts no try", "set Prompt.Refusal and ask once more", "robustness", 0, refusalAsks},
		{"PrompterErrorKept", "an error of the prompter ends the collection with its code", "return the prompter's error", "robustness", 0, prompterError},
		{"Concurrent", "implementations are safe for concurrent use", "guard shared state", "robustness", 0, concurrent},
		{"AnswerTime", "right and wrong samples are answered in the same class of time", "answer at RecoverTime, match or not", "privacy", 1, answerTime},
		{"StrengthHonest", "a strength comes with evidence that carries it", "say \"counted\" (not for a biometric) or \"measured on …\"", "describe", 0, strengthHonest},
	}
}

func bindKey(n byte) *secret.Buffer { return secret.Own(bytes.Repeat([]byte{n}, 32)) }

// session is one source with its description.
type session struct {
	h    Harness
	src  core.Source
	info core.SourceInfo
	end  func() error
}

func with(ctx context.Context, h Harness, do func(s session) error) error {
	src, end, err := h.open(ctx)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	info, err := src.Describe(ctx)
	if err == nil {
		err = do(session{h, src, info, end})
	}
	return errors.Join(err, end())
}

func (s session) biometric() bool { return s.info.Kind == core.KindBiometric }

func (s session) bind(n byte) *secret.Buffer {
	if s.biometric() {
		return bindKey(n)
	}
	return nil
}

func (s session) enroll(ctx context.Context, p core.Prompter, bind byte) (core.Enrollment, error) {
	e, err := s.src.Enroll(ctx, core.EnrollRequest{Label: "kit", BindKey: s.bind(bind), Params: s.h.Params}, p)
	if err != nil {
		return e, fmt.Errorf("enroll: %w", err)
	}
	return e, nil
}

func (s session) capture(ctx context.Context, p core.Prompter, e core.Enrollment) (core.Capture, error) {
	q := core.CaptureRequest{Label: "kit", Format: e.Format}
	if !s.biometric() {
		q.Params = e.Helper
	}
	return s.src.Capture(ctx, q, p)
}

func (s session) recover(ctx context.Context, p core.Prompter, e core.Enrollment, bind byte) (*secret.Buffer, error) {
	c, err := s.capture(ctx, p, e)
	if err != nil {
		return nil, fmt.Errorf("capture: %w", err)
	}
	defer c.Close()
	out, err := c.Recover(ctx, core.RecoverRequest{Helper: e.Helper, BindKey: s.bind(bind)})
	if err != nil {
		return nil, fmt.Errorf("recover: %w", err)
	}
	return out, nil
}

func describeStable(ctx context.Context, h Harness) error {
	return with(ctx, h, func(s session) error {
		again, err := s.src.Describe(ctx)
		if err != nil || !reflect.DeepEqual(s.info, again) {
			return fmt.Errorf("two descriptions differ: %v", err)
		}
		return nil
	})
}

func describeSound(ctx context.Context, h Harness) error {
	return with(ctx, h, func(s session) error {
		i := s.info
		served := false
		for _, f := range i.Formats {
			served = served || f == i.Format
		}
		switch {
		case i.Name == "" || len(i.Name) > 32:
			return fmt.Errorf("name of %d bytes", len(i.Name))
		case i.Kind == core.KindUnknown:
			return errors.New("kind is unknown")
		case i.Format == 0 || !served:
			return fmt.Errorf("format %d is not among %v", i.Format, i.Formats)
		case len(i.Samples) == 0:
			return errors.New("no sample kinds")
		case i.EnrollCaptures.Min < 1 || i.EnrollCaptures.Max < i.EnrollCaptures.Min || i.RecoverCaptures.Min < 1 || i.RecoverCaptures.Max < i.RecoverCaptures.Min:
			return errors.New("captures out of order")
		}
		return nil
	})
}

func want(err error, codes ...core.Code) error {
	for _, c := range codes {
		if errors.Is(err, c) {
			return nil
		}
	}
	return fmt.Errorf("got %v, want %v", err, codes)
}

func unknownConfig(ctx context.Context, h Harness) error {
	return with(ctx, h, func(s session) error {
		err := s.src.Configure(ctx, core.Config{Values: map[string]string{"no_such_setting": "1"}})
		if err := want(err, core.Invalid); err != nil {
			return err
		}
		return describeStable(ctx, Harness{Transport: &Transport{Open: func(context.Context) (core.Source, func() error, error) {
			return s.src, func() error { return nil }, nil
		}}})
	})
}

func unknownParam(ctx context.Context, h Harness) error {
	return with(ctx, h, func(s session) error {
		_, err := s.src.Enroll(ctx, core.EnrollRequest{BindKey: s.bind(1), Params: map[string]string{"no_such_param": "1"}}, h.Person(1))
		return want(err, core.Invalid)
	})
}

func unknownFormat(ctx context.Context, h Harness) error {
	return with(ctx, h, func(s session) error {
		_, err := s.src.Enroll(ctx, core.EnrollRequest{BindKey: s.bind(1), Format: 1 << 30}, h.Person(1))
		return want(err, core.Unsupported)
	})
}

func roundTrip(ctx context.Context, h Harness) error {
	return with(ctx, h, func(s session) error {
		e, err := s.enroll(ctx, h.Person(1), 1)
		if err != nil {
			return err
		}
		defer e.Secret.Wipe()
		need, of := h.Takes, h.TakesOf
		if of == 0 {
			need, of = 3, 3
		}
		if s.biometric() && e.Secret.Len() < 32 {
			return fmt.Errorf("a biometric's secret has %d bytes, want 32 at least", e.Secret.Len())
		}
		hits := 0
		for range of {
			got, err := s.recover(ctx, h.Person(1), e, 1)
			if err != nil {
				return err
			}
			if got.Equal(e.Secret) {
				hits++
			}
			got.Wipe()
		}
		if hits < need {
			return fmt.Errorf("%d of %d recoveries gave the enrolled secret, want %d", hits, of, need)
		}
		return nil
	})
}

func alwaysASecret(ctx context.Context, h Harness) error {
	return with(ctx, h, func(s session) error {
		e, err := s.enroll(ctx, h.Person(1), 1)
		if err != nil {
			return err
		}
		const strangers = 6
		same := 0
		for seed := uint64(2); seed < 2+strangers; seed++ {
			got, err := s.recover(ctx, h.Person(seed), e, 1)
			if err != nil {
				return fmt.Errorf("a wrong sample: %w", err)
			}
			if got.Equal(e.Secret) {
				same++
			}
			if got.Len() == 0 || s.biometric() && got.Len() != e.Secret.Len() {
				return errors.New("a wrong sample gave a secret of another shape")
			}
		}
		// A source that claims few bits is passed by a stranger now and then. What
		// its claim gives less than 1 % to is none of that, nor is all of them; from
		// 9.3 bits on one is too many.
		claim := float64(max(s.info.Strength.PerTry, e.Strength.PerTry)) / 1000
		if same == strangers || same > 0 && 1-poisson.AtMost(same-1, strangers*math.Exp2(-claim)) < 0.01 {
			return fmt.Errorf("a wrong sample gave the enrolled secret, %d times of %d", same, strangers)
		}
		return nil
	})
}

func secondRecover(ctx context.Context, h Harness) error {
	return with(ctx, h, func(s session) error {
		e, err := s.enroll(ctx, h.Person(1), 1)
		if err != nil {
			return err
		}
		c, err := s.capture(ctx, h.Person(1), e)
		if err != nil {
			return err
		}
		defer c.Close()
		r := core.RecoverRequest{Helper: e.Helper, BindKey: s.bind(1)}
		if _, err := c.Recover(ctx, r); err != nil {
			return err
		}
		_, err = c.Recover(ctx, r)
		return want(err, core.State)
	})
}

func closeEnds(ctx context.Context, h Harness) error {
	return with(ctx, h, func(s session) error {
		e, err := s.enroll(ctx, h.Person(1), 1)
		if err != nil {
			return err
		}
		var seen []*secret.Buffer
		spy := core.PrompterFunc(func(ctx context.Context, q core.Prompt) (core.Sample, error) {
			a, err := h.Person(1).Ask(ctx, q)
			seen = append(seen, a.Data)
			return a, err
		})
		c, err := s.capture(ctx, spy, e)
		if err != nil {
			return err
		}
		if err := errors.Join(c.Close(), c.Close()); err != nil {
			return err
		}
		for _, b := range seen {
			if h.Transport == nil && b.Len() != 0 {
				return errors.New("a sample outlives Close")
			}
		}
		_, err = c.Recover(ctx, core.RecoverRequest{Helper: e.Helper, BindKey: s.bind(1)})
		return want(err, core.Closed, core.State)
	})
}

func bindSeparation(ctx context.Context, h Harness) error {
	return with(ctx, h, func(s session) error {
		if !s.biometric() {
			return nil // the rule speaks of biometrics only
		}
		e, err := s.enroll(ctx, h.Person(1), 1)
		if err != nil {
			return err
		}
		got, err := s.recover(ctx, h.Person(1), e, 2)
		if err == nil && got.Equal(e.Secret) {
			return errors.New("another bind key gives the same secret")
		}
		return err
	})
}

func renewability(ctx context.Context, h Harness) error {
	return with(ctx, h, func(s session) error {
		a, err := s.enroll(ctx, h.Person(1), 1)
		if err != nil {
			return err
		}
		b, err := s.enroll(ctx, h.Person(1), 1)
		if err != nil {
			return err
		}
		if s.biometric() == (a.Secret.Equal(b.Secret) || bytes.Equal(a.Helper, b.Helper)) {
			return errors.New("a biometric must be renewed at each enrolment, a known secret must not change")
		}
		return nil
	})
}

func helperLength(ctx context.Context, h Harness) error {
	return with(ctx, h, func(s session) error {
		for seed := range uint64(5) {
			e, err := s.enroll(ctx, h.Person(seed), 1)
			if err != nil {
				return err
			}
			if h.Params == nil && len(e.Helper) != s.info.HelperSize {
				return fmt.Errorf("helper of %d bytes, described as %d", len(e.Helper), s.info.HelperSize)
			}
		}
		return nil
	})
}

func helperNoSecret(ctx context.Context, h Harness) error {
	return with(ctx, h, func(s session) error {
		a, err := s.enroll(ctx, h.Person(1), 1)
		if err != nil {
			return err
		}
		b, err := s.enroll(ctx, h.Person(2), 1)
		if err != nil {
			return err
		}
		if !s.biometric() && !bytes.Equal(a.Helper, b.Helper) {
			return errors.New("the helper of a known secret differs from person to person")
		}
		if n := a.Secret.Len(); n >= 4 && bytes.Contains(a.Helper, a.Secret.Bytes()) {
			return errors.New("the helper holds the secret")
		}
		return nil
	})
}

func cancels(ctx context.Context, h Harness) error {
	return with(ctx, h, func(s session) error {
		e, err := s.enroll(ctx, h.Person(1), 1)
		if err != nil {
			return err
		}
		release := make(chan struct{})
		defer close(release)
		deaf := core.PrompterFunc(func(context.Context, core.Prompt) (core.Sample, error) {
			<-release
			return core.Sample{}, core.Canceled
		})
		for name, call := range map[string]func(ctx context.Context) error{
			"enroll":  func(ctx context.Context) error { _, err := s.enroll(ctx, deaf, 1); return err },
			"capture": func(ctx context.Context) error { _, err := s.capture(ctx, deaf, e); return err },
		} {
			c, cancel := context.WithCancel(ctx)
			done := make(chan error, 1)
			go func() { done <- call(c) }()
			time.Sleep(20 * time.Millisecond)
			cancel()
			select {
			case err := <-done:
				if err := want(err, core.Canceled); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			case <-time.After(100 * time.Millisecond):
				return fmt.Errorf("%s: still running 100 ms after its context ended", name)
			}
		}
		return nil
	})
}

func refusalAsks(ctx context.Context, h Harness) error {
	if h.Poor == nil {
		return nil // the harness knows no poor sample
	}
	return with(ctx, h, func(s session) error {
		e, err := s.enroll(ctx, h.Person(1), 1)
		if err != nil {
			return err
		}
		asked, reason := 0, ""
		c, err := s.capture(ctx, core.PrompterFunc(func(ctx context.Context, q core.Prompt) (core.Sample, error) {
			if asked++; asked == 1 {
				return h.Poor(q), nil
			}
			if asked == 2 {
				reason = q.Refusal
			}
			return h.Person(1).Ask(ctx, q)
		}), e)
		if err != nil {
			return err
		}
		defer c.Close()
		if asked < 2 || reason == "" {
			return fmt.Errorf("%d prompts, a reason given: %t", asked, reason != "")
		}
		return nil
	})
}

func prompterError(ctx context.Context, h Harness) error {
	return with(ctx, h, func(s session) error {
		_, err := s.enroll(ctx, core.PrompterFunc(func(context.Context, core.Prompt) (core.Sample, error) {
			return core.Sample{}, core.Errorf(core.Canceled, "kit", "given up")
		}), 1)
		return want(err, core.Canceled)
	})
}

func concurrent(ctx context.Context, h Harness) error {
	return with(ctx, h, func(s session) error {
		var wg sync.WaitGroup
		var bad atomic.Pointer[error]
		for seed := range uint64(8) {
			wg.Go(func() {
				e, err := s.enroll(ctx, h.Person(seed), 1)
				if err == nil {
					var got *secret.Buffer
					if got, err = s.recover(ctx, h.Person(seed), e, 1); err == nil && !s.biometric() && !got.Equal(e.Secret) {
						err = errors.New("one caller got another's secret")
					}
				}
				if err != nil {
					bad.Store(&err)
				}
			})
		}
		wg.Wait()
		if p := bad.Load(); p != nil {
			return *p
		}
		return nil
	})
}

// answerTime compares the medians of right and wrong recoveries. Below a
// microsecond of difference nothing is told over any channel of keposs.
func answerTime(ctx context.Context, h Harness) error {
	return with(ctx, h, func(s session) error {
		e, err := s.enroll(ctx, h.Person(1), 1)
		if err != nil {
			return err
		}
		const rounds = 41
		var took [2][]time.Duration
		for i := range 2 * rounds {
			c, err := s.capture(ctx, h.Person(uint64(1+i%2)), e)
			if err != nil {
				return err
			}
			start := time.Now()
			got, err := c.Recover(ctx, core.RecoverRequest{Helper: e.Helper, BindKey: s.bind(1)})
			took[i%2] = append(took[i%2], time.Since(start))
			if err != nil {
				return err
			}
			got.Wipe()
			_ = c.Close()
		}
		right, wrong := median(took[0]), median(took[1])
		if d := (right - wrong).Abs(); d > 50*time.Microsecond && d > max(right, wrong)/5 {
			return fmt.Errorf("right samples are answered in %s, wrong ones in %s", right, wrong)
		}
		return nil
	})
}

func strengthHonest(ctx context.Context, h Harness) error {
	return with(ctx, h, func(s session) error {
		e, err := s.enroll(ctx, h.Person(1), 1)
		if err != nil {
			return err
		}
		for _, st := range []core.Strength{s.info.Strength, e.Strength} {
			counted := len(st.Evidence) > 8 && st.Evidence[:7] == "counted"
			measured := len(st.Evidence) > 9 && st.Evidence[:8] == "measured"
			if st.PerTry == 0 || !measured && !(counted && !s.biometric()) {
				return fmt.Errorf("%d millibits with the evidence %q", st.PerTry, st.Evidence)
			}
			if st.BestGuess > st.PerTry {
				return errors.New("the best guess is worse than a random one")
			}
		}
		return nil
	})
}
