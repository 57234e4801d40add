package plugins

import (
	"context"
	"time"

	"github.com/keposs/keposs/core"
)

// The four contracts over a child: each call finds the living process first.

type source struct{ *child }

func (s *source) Describe(ctx context.Context) (core.SourceInfo, error) {
	h, err := s.host(ctx)
	if err != nil {
		return core.SourceInfo{}, err
	}
	return h.Source().Describe(ctx)
}

func (s *source) Configure(ctx context.Context, c core.Config) error { return s.configure(ctx, c) }

func (s *source) Enroll(ctx context.Context, r core.EnrollRequest, p core.Prompter) (core.Enrollment, error) {
	h, err := s.host(ctx)
	if err != nil {
		return core.Enrollment{}, err
	}
	return h.Source().Enroll(ctx, r, p)
}

func (s *source) Capture(ctx context.Context, r core.CaptureRequest, p core.Prompter) (core.Capture, error) {
	h, err := s.host(ctx)
	if err != nil {
		return nil, err
	}
	return h.Source().Capture(ctx, r, p)
}

type sensor struct{ *child }

func (s *sensor) Describe(ctx context.Context) (core.SensorInfo, error) {
	h, err := s.host(ctx)
	if err != nil {
		return core.SensorInfo{}, err
	}
	return h.Sensor().Describe(ctx)
}

func (s *sensor) Configure(ctx context.Context, c core.Config) error { return s.configure(ctx, c) }

func (s *sensor) Sample(ctx context.Context, p core.Prompt) (core.Sample, error) {
	h, err := s.host(ctx)
	if err != nil {
		return core.Sample{}, err
	}
	return h.Sensor().Sample(ctx, p)
}

type kdf struct{ *child }

func (k *kdf) Describe(ctx context.Context) (core.KDFInfo, error) {
	h, err := k.host(ctx)
	if err != nil {
		return core.KDFInfo{}, err
	}
	return h.KDF().Describe(ctx)
}

// validateStart bounds the start that a first Validate may need.
const validateStart = 10 * time.Second

func (k *kdf) Validate(p core.Params, l core.Limits) error {
	ctx, cancel := context.WithTimeout(context.Background(), validateStart)
	defer cancel()
	h, err := k.host(ctx)
	if err != nil {
		return err
	}
	return h.KDF().Validate(p, l)
}

func (k *kdf) Calibrate(ctx context.Context, target time.Duration, l core.Limits) (core.Params, error) {
	h, err := k.host(ctx)
	if err != nil {
		return core.Params{}, err
	}
	return h.KDF().Calibrate(ctx, target, l)
}

func (k *kdf) Derive(ctx context.Context, p core.Params, secret, salt, out []byte) error {
	h, err := k.host(ctx)
	if err != nil {
		clear(out)
		return err
	}
	return h.KDF().Derive(ctx, p, secret, salt, out)
}

type backend struct{ *child }

var (
	_ core.Healther = (*backend)(nil)
	_ core.Exporter = (*backend)(nil)
	_ core.Feed     = (*backend)(nil)
	_ core.Fencer   = (*backend)(nil)
)

// reach is host for a store: what did not start was certainly not applied.
func (b *backend) reach(ctx context.Context) (remote, error) {
	if err := ctx.Err(); err != nil {
		return nil, core.Errorf(core.Unavailable, b.op(), "not started: %w", err)
	}
	h, err := b.host(ctx)
	if err != nil {
		return nil, err
	}
	return h.Backend(), nil
}

// remote is everything a store over glue can do.
type remote interface {
	core.Backend
	core.Healther
	core.Exporter
	core.Feed
	core.Fencer
}

func (b *backend) Describe(ctx context.Context) (core.BackendInfo, error) {
	r, err := b.reach(ctx)
	if err != nil {
		return core.BackendInfo{}, err
	}
	return r.Describe(ctx)
}

func (b *backend) Configure(ctx context.Context, c core.Config) error { return b.configure(ctx, c) }

func (b *backend) GetMany(ctx context.Context, keys []core.Key, o core.ReadOpts) ([]core.Record, error) {
	r, err := b.reach(ctx)
	if err != nil {
		return nil, err
	}
	return r.GetMany(ctx, keys, o)
}

func (b *backend) CommitMany(ctx context.Context, ms []core.Mutation) ([]core.Result, error) {
	r, err := b.reach(ctx)
	if err != nil {
		return nil, err
	}
	return r.CommitMany(ctx, ms)
}

func (b *backend) Scan(ctx context.Context, req core.ScanRequest) (core.Page, error) {
	r, err := b.reach(ctx)
	if err != nil {
		return core.Page{}, err
	}
	return r.Scan(ctx, req)
}

func (b *backend) Health(ctx context.Context) error {
	r, err := b.reach(ctx)
	if err != nil {
		return err
	}
	return r.Health(ctx)
}

func (b *backend) Export(ctx context.Context, req core.ScanRequest) (core.Page, error) {
	r, err := b.reach(ctx)
	if err != nil {
		return core.Page{}, err
	}
	return r.Export(ctx, req)
}

func (b *backend) Import(ctx context.Context, recs []core.Record, deleted []bool) error {
	r, err := b.reach(ctx)
	if err != nil {
		return err
	}
	return r.Import(ctx, recs, deleted)
}

func (b *backend) Watch(ctx context.Context, from core.Key, fn func(core.Change) error) error {
	r, err := b.reach(ctx)
	if err != nil {
		return err
	}
	return r.Watch(ctx, from, fn)
}

func (b *backend) RaiseFence(ctx context.Context, fence uint64) error {
	r, err := b.reach(ctx)
	if err != nil {
		return err
	}
	return r.RaiseFence(ctx, fence)
}

// Close closes the store and ends its process; the store's own error comes first.
func (b *backend) Close() error {
	var err error
	if h := b.live(); h != nil {
		err = h.Backend().Close()
	}
	b.close()
	return err
}
