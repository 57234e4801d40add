package escrowtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/keposs/keposs/core"
)

// A benchmark has so many records, of the size of a user's, and so many clients
// at once.
const (
	benchRecords = 4096
	benchClients = 64
)

// Bench measures h with what the cases do: one lookup, 64 in one call, one
// counter step made durable, 64 in one call, and a whole scan. Lookups and steps
// are asked by 64 clients at once, each with records of its own.
func Bench(b *testing.B, h Harness) {
	r := NewRig(h, 0)
	defer r.Close()
	s, err := stocked(b.Context(), r)
	if err != nil {
		b.Fatal(err)
	}
	for _, one := range []struct {
		name string
		per  int // records of one call
		do   func(ctx context.Context, client, n int) error
	}{
		{"Get", 1, s.look}, {"GetMany", benchClients, s.look}, {"Step", 1, s.step}, {"StepMany", benchClients, s.step},
	} {
		b.Run(one.name, func(b *testing.B) {
			if err := crowd(b, func(client int) error { return one.do(b.Context(), client, one.per) }); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N*one.per)/b.Elapsed().Seconds(), "records/s")
		})
	}
	b.Run("Scan", func(b *testing.B) {
		seen := 0
		for b.Loop() {
			if err := walk(b.Context(), s, core.ScanRequest{Limit: 1000, Hot: true, Blob: true}, func(core.Record, bool) error { seen++; return nil }); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(seen)/b.Elapsed().Seconds(), "records/s")
	})
}

// crowd has the clients share b.N calls.
func crowd(b *testing.B, call func(client int) error) error {
	var left atomic.Int64
	left.Store(int64(b.N))
	errs := make([]error, benchClients)
	var wg sync.WaitGroup
	b.ResetTimer()
	for c := range benchClients {
		wg.Go(func() {
			for errs[c] == nil && left.Add(-1) >= 0 {
				errs[c] = call(c)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	return errors.Join(errs...)
}

// stock is a store with records, of which each client has its share.
type stock struct {
	*Fixture
	keys     keys
	versions [benchRecords]core.Version
	next     [benchClients]int
}

func stocked(ctx context.Context, r *Rig) (*stock, error) {
	f, err := r.Fresh(ctx)
	if err != nil {
		return nil, err
	}
	s := &stock{Fixture: f, keys: newKeys()}
	hot, blob := strings.Repeat("h", 448), strings.Repeat("b", 1600)
	for from := 0; from < benchRecords; from += 256 {
		ms := make([]core.Mutation, 256)
		for i := range ms {
			ms[i] = put(s.keys.at(from+i), 0, hot, blob)
		}
		res, err := f.CommitMany(ctx, ms)
		if err != nil {
			return nil, err
		}
		for i, one := range res {
			if one.Err != nil {
				return nil, one.Err
			}
			s.versions[from+i] = one.Version
		}
	}
	return s, nil
}

// records are the next n of a client's share, in turn.
func (s *stock) records(client, n int) []int {
	const share = benchRecords / benchClients
	out := make([]int, n)
	for i := range out {
		out[i] = client*share + (s.next[client]+i)%share
	}
	s.next[client] += n
	return out
}

func (s *stock) look(ctx context.Context, client, n int) error {
	var ks []core.Key
	for _, i := range s.records(client, n) {
		ks = append(ks, s.keys.at(i))
	}
	rs, err := s.GetMany(ctx, ks, core.ReadOpts{})
	if err == nil && (len(rs) != n || rs[0].Version == 0) {
		err = fmt.Errorf("%d records of %d", len(rs), n)
	}
	return err
}

func (s *stock) step(ctx context.Context, client, n int) error {
	is := s.records(client, n)
	ms := make([]core.Mutation, n)
	hot := strings.Repeat("h", 448)
	for j, i := range is {
		ms[j] = putHot(s.keys.at(i), s.versions[i], hot)
	}
	res, err := s.CommitMany(ctx, ms)
	if err != nil {
		return err
	}
	for j, one := range res {
		if one.Err != nil {
			return one.Err
		}
		s.versions[is[j]] = one.Version
	}
	return nil
}
