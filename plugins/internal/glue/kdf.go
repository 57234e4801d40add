package glue

import (
	"context"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/plugins/internal/wire"
)

// MaxDerive bounds output, salt and secret of a KDF plugin, each in bytes.
const MaxDerive = 1 << 20

// validateTimeout bounds Validate, whose contract has no context.
const validateTimeout = 5 * time.Second

type kdfServer struct {
	wire.UnimplementedKDFServer
	link *link
	impl core.KDF
}

func (s *kdfServer) Describe(ctx context.Context, _ *wire.Empty) (*wire.KDFInfo, error) {
	i, err := s.impl.Describe(ctx)
	if err != nil {
		return nil, err
	}
	m := &wire.KDFInfo{Name: i.Name, Version: i.Version, Approved: i.Approved, Default: paramsOut(i.Default)}
	for _, p := range i.Params {
		m.Params = append(m.Params, &wire.ParamInfo{Key: p.Key, Min: p.Min, Max: p.Max, Help: p.Help})
	}
	return m, nil
}

func (s *kdfServer) Validate(_ context.Context, r *wire.ValidateRequest) (*wire.Empty, error) {
	if err := s.impl.Validate(paramsIn(r.Params), limitsIn(r.Limits)); err != nil {
		return nil, err
	}
	return &wire.Empty{}, nil
}

func (s *kdfServer) Calibrate(ctx context.Context, r *wire.CalibrateRequest) (*wire.CalibrateResponse, error) {
	p, err := s.impl.Calibrate(ctx, time.Duration(r.TargetNs), limitsIn(r.Limits))
	if err != nil {
		return nil, err
	}
	return &wire.CalibrateResponse{Params: paramsOut(p)}, nil
}

func (s *kdfServer) Derive(ctx context.Context, r *wire.DeriveRequest) (*wire.DeriveResponse, error) {
	if r.Length > MaxDerive {
		return nil, core.Errorf(core.TooLarge, "plugin: derive", "%d bytes asked for, at most %d", r.Length, MaxDerive)
	}
	in, err := s.link.required("kdf secret", r.Secret)
	if err != nil {
		return nil, err
	}
	defer in.Wipe()
	out := secret.New(int(r.Length))
	defer out.Wipe()
	if err := s.impl.Derive(ctx, paramsIn(r.Params), in.Bytes(), r.Salt, out.Bytes()); err != nil {
		return nil, err
	}
	m, err := s.link.out("kdf output", out)
	if err != nil {
		return nil, err
	}
	return &wire.DeriveResponse{Out: m}, nil
}

// kdfHost is a core.KDF whose implementation is a plugin.
type kdfHost struct {
	h *Host
	c wire.KDFClient
}

// KDF returns the plugin as a core.KDF.
func (h *Host) KDF() core.KDF { return &kdfHost{h, wire.NewKDFClient(h.conn)} }

func (k *kdfHost) op(call string) string { return "kdf " + k.h.Info.Name + ": " + call }

func (k *kdfHost) Describe(ctx context.Context) (core.KDFInfo, error) {
	m, err := k.c.Describe(ctx, &wire.Empty{})
	if err != nil {
		return core.KDFInfo{}, statusIn(ctx, k.op("describe"), err, reads)
	}
	i := core.KDFInfo{Name: m.Name, Version: m.Version, Approved: m.Approved, Default: paramsIn(m.Default)}
	for _, p := range m.Params {
		i.Params = append(i.Params, core.ParamInfo{Key: p.GetKey(), Min: p.GetMin(), Max: p.GetMax(), Help: p.GetHelp()})
	}
	return i, nil
}

func (k *kdfHost) Validate(p core.Params, l core.Limits) error {
	ctx, cancel := context.WithTimeout(context.Background(), validateTimeout)
	defer cancel()
	_, err := k.c.Validate(ctx, &wire.ValidateRequest{Params: paramsOut(p), Limits: limitsOut(l)})
	return statusIn(ctx, k.op("validate"), err, reads)
}

func (k *kdfHost) Calibrate(ctx context.Context, target time.Duration, l core.Limits) (core.Params, error) {
	m, err := k.c.Calibrate(ctx, &wire.CalibrateRequest{TargetNs: int64(target), Limits: limitsOut(l)})
	if err != nil {
		return core.Params{}, statusIn(ctx, k.op("calibrate"), err, reads)
	}
	return paramsIn(m.Params), nil
}

func (k *kdfHost) Derive(ctx context.Context, p core.Params, sec, salt, out []byte) (err error) {
	op := k.op("derive")
	defer func() {
		if err != nil {
			secret.Zero(out)
		}
	}()
	if len(out) > MaxDerive {
		return core.Errorf(core.TooLarge, op, "%d bytes asked for, at most %d", len(out), MaxDerive)
	}
	if len(salt) > MaxDerive {
		return core.Errorf(core.TooLarge, op, "a salt of %d bytes, at most %d", len(salt), MaxDerive)
	}
	if len(sec) > MaxDerive {
		return core.Errorf(core.TooLarge, op, "a secret above %d bytes", MaxDerive)
	}
	lent := secret.Own(sec) // never wiped here
	s, err := k.h.link.out("kdf secret", lent)
	if err != nil {
		return err
	}
	m, err := k.c.Derive(ctx, &wire.DeriveRequest{Params: paramsOut(p), Secret: s, Salt: salt, Length: uint32(len(out))})
	if err != nil {
		return statusIn(ctx, op, err, reads)
	}
	got, err := k.h.link.required("kdf output", m.Out)
	if err != nil {
		return err
	}
	defer got.Wipe()
	if got.Len() != len(out) {
		return core.Errorf(core.Internal, op, "%w: %d bytes instead of %d", errProtocol, got.Len(), len(out))
	}
	copy(out, got.Bytes())
	return nil
}
