package sscctest

import (
	"context"
	"errors"
	"math/rand/v2"

	"github.com/keposs/keposs/core"
)

// Fan is one backend over several handles on the same store, each call through
// one of them at random: what one handle wrote, the next call reads through
// another. It owns the handles, which are configured.
func Fan(handles ...core.Backend) core.Backend { return fan(handles) }

type fan []core.Backend

func (f fan) one() core.Backend { return f[rand.IntN(len(f))] }

// Describe implements core.Backend.
func (f fan) Describe(ctx context.Context) (core.BackendInfo, error) { return f.one().Describe(ctx) }

// Configure implements core.Backend: the handles are.
func (f fan) Configure(ctx context.Context, c core.Config) error { return f.one().Configure(ctx, c) }

// GetMany implements core.Backend.
func (f fan) GetMany(ctx context.Context, keys []core.Key, o core.ReadOpts) ([]core.Record, error) {
	return f.one().GetMany(ctx, keys, o)
}

// CommitMany implements core.Backend.
func (f fan) CommitMany(ctx context.Context, ms []core.Mutation) ([]core.Result, error) {
	return f.one().CommitMany(ctx, ms)
}

// Scan implements core.Backend.
func (f fan) Scan(ctx context.Context, req core.ScanRequest) (core.Page, error) {
	return f.one().Scan(ctx, req)
}

// Close implements core.Backend.
func (f fan) Close() error {
	var errs []error
	for _, b := range f {
		errs = append(errs, b.Close())
	}
	return errors.Join(errs...)
}
