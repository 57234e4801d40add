package ppdtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
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

func want(err error, codes ...core.Code) error {
	for _, c := range codes {
		if errors.Is(err, c) {
			return nil
		}
	}
	return fmt.Errorf("got %v, want %v", err, codes)
}
