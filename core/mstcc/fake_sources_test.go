package mstcc_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"sync"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/oprf"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

// word is a knowledge source: the secret is what was typed.
type word struct {
	name     string
	captures int
	mu       sync.Mutex
}

func (w *word) Describe(context.Context) (core.SourceInfo, error) {
	return core.SourceInfo{Name: w.name, Kind: core.KindKnowledge, Format: 1, Formats: []uint32{1},
		Samples: []core.SampleKind{core.SamplePIN}, Strength: core.Strength{PerTry: 13000, Offline: 13000, Evidence: "counted"}}, nil
}
func (w *word) Configure(context.Context, core.Config) error { return nil }
func (w *word) Enroll(ctx context.Context, r core.EnrollRequest, p core.Prompter) (core.Enrollment, error) {
	s, err := p.Ask(ctx, core.Prompt{Kinds: []core.SampleKind{core.SamplePIN}, Label: r.Label, Purpose: core.PurposeEnroll})
	if err != nil {
		return core.Enrollment{}, err
	}
	return core.Enrollment{Secret: s.Data, Helper: []byte{1}, Format: 1, Strength: core.Strength{PerTry: 13000, Offline: 13000, Evidence: "counted"}}, nil
}
func (w *word) Capture(ctx context.Context, r core.CaptureRequest, p core.Prompter) (core.Capture, error) {
	w.mu.Lock()
	w.captures++
	w.mu.Unlock()
	s, err := p.Ask(ctx, core.Prompt{Kinds: []core.SampleKind{core.SamplePIN}, Label: r.Label, Purpose: core.PurposeRecover})
	if err != nil {
		return nil, err
	}
	return &typed{s.Data}, nil
}

type typed struct{ s *secret.Buffer }

func (t *typed) Recover(context.Context, core.RecoverRequest) (*secret.Buffer, error) {
	return t.s.Clone(), nil
}
func (t *typed) Close() error { t.s.Wipe(); return nil }

// bio is a synthetic biometric: what was presented, keyed by the transform key,
// is the secret; another face gives another. It counts what is asked of it.
type bio struct {
	name               string
	mu                 sync.Mutex
	enrolled, captured int
}

func (b *bio) Describe(context.Context) (core.SourceInfo, error) {
	return core.SourceInfo{Name: b.name, Kind: core.KindBiometric, Format: 1, Formats: []uint32{1},
		Samples: []core.SampleKind{core.SampleBytes}, Strength: core.Strength{PerTry: 20000, Offline: 20000, Evidence: "counted: synthetic"}}, nil
}
func (b *bio) Configure(context.Context, core.Config) error { return nil }
func (b *bio) Enroll(ctx context.Context, r core.EnrollRequest, p core.Prompter) (core.Enrollment, error) {
	b.mu.Lock()
	b.enrolled++
	b.mu.Unlock()
	s, err := p.Ask(ctx, core.Prompt{Kinds: []core.SampleKind{core.SampleBytes}, Label: r.Label, Purpose: core.PurposeEnroll})
	if err != nil {
		return core.Enrollment{}, err
	}
	defer s.Data.Wipe()
	helper := make([]byte, 16)
	if _, err := rand.Read(helper); err != nil {
		return core.Enrollment{}, err
	}
	return core.Enrollment{Secret: bioSecret(s.Data, r.BindKey, helper), Helper: helper, Format: 1,
		Strength: core.Strength{PerTry: 20000, Offline: 20000, Evidence: "counted: synthetic"}}, nil
}

func bioSecret(sample, key *secret.Buffer, helper []byte) *secret.Buffer {
	h := sm.HMAC(key.Bytes(), append(bytes.Clone(sample.Bytes()), helper...))
	return secret.Copy(h[:])
}

func (b *bio) Capture(ctx context.Context, r core.CaptureRequest, p core.Prompter) (core.Capture, error) {
	b.mu.Lock()
	b.captured++
	b.mu.Unlock()
	s, err := p.Ask(ctx, core.Prompt{Kinds: []core.SampleKind{core.SampleBytes}, Label: r.Label, Purpose: core.PurposeRecover})
	if err != nil {
		return nil, err
	}
	return &presented{s.Data}, nil
}

type presented struct{ s *secret.Buffer }

func (p *presented) Recover(_ context.Context, r core.RecoverRequest) (*secret.Buffer, error) {
	return bioSecret(p.s, r.BindKey, r.Helper), nil
}
func (p *presented) Close() error { p.s.Wipe(); return nil }

// testOPRF is core/oprf as the terminal uses it.
type testOPRF struct{}

func (testOPRF) FullEvaluate(key, input []byte) ([]byte, error) {
	k, err := oprf.NewKey(key)
	if err != nil {
		return nil, err
	}
	defer k.Wipe()
	out, err := oprf.FullEvaluate(k, input)
	return out.Bytes(), err
}

func (testOPRF) Blind(rand io.Reader, input []byte) (protocol.Point, mstcc.Blinding, error) {
	b, err := oprf.Blind(rand, input)
	if err != nil {
		return protocol.Point{}, nil, err
	}
	return b.Element(), testBlinding{b}, nil
}

type testBlinding struct{ b *oprf.Blinding }

func (t testBlinding) Finalize(evaluated, pub protocol.Point, proof []byte) ([]byte, error) {
	if proof != nil {
		if err := oprf.VerifyProof(pub, t.b.Element(), evaluated, [64]byte(proof)); err != nil {
			return nil, err
		}
	}
	out, err := t.b.Finalize(evaluated)
	return out.Bytes(), err
}
func (t testBlinding) Wipe() { t.b.Wipe() }

// cheap is a KDF for tests: one HMAC. Its name tells it is not for use.
type cheap struct{}

func (cheap) Describe(context.Context) (core.KDFInfo, error) {
	return core.KDFInfo{Name: "cheap-test"}, nil
}
func (cheap) Validate(p core.Params, l core.Limits) error { return l.Check(p) }
func (cheap) Derive(_ context.Context, p core.Params, sec, salt, out []byte) error {
	h := sm.HMAC(salt, append([]byte(p.String()), sec...))
	copy(out, h[:])
	return nil
}

func (cheap) Calibrate(context.Context, time.Duration, core.Limits) (core.Params, error) {
	return core.NewParams("cheap-test", core.Param{Key: "i", N: 1024}), nil
}
