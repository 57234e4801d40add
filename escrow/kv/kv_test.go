package kv_test

import (
	"bytes"
	"context"
	"sort"
	"sync"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/escrowtest"
	"github.com/keposs/keposs/escrow/kv"
)

// All the glue a plain store needs, less than 50 lines.
type plain struct {
	mu sync.Mutex
	m  map[string][]byte
}

func (p *plain) Get(_ context.Context, key []byte) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return bytes.Clone(p.m[string(key)]), nil
}

func (p *plain) Swap(_ context.Context, key, old, value []byte) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if have, ok := p.m[string(key)]; ok != (old != nil) || !bytes.Equal(have, old) {
		return false, nil
	}
	p.m[string(key)] = bytes.Clone(value)
	return true, nil
}

func (p *plain) Range(_ context.Context, after []byte, n int) ([]kv.Pair, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []kv.Pair
	for k, v := range p.m {
		if k > string(after) {
			out = append(out, kv.Pair{Key: []byte(k), Value: bytes.Clone(v)})
		}
	}
	sort.Slice(out, func(i, j int) bool { return bytes.Compare(out[i].Key, out[j].Key) < 0 })
	return out[:min(n, len(out))], nil
}

func (p *plain) Close() error { return nil }

var harness = escrowtest.Harness{
	Name: "plain",
	New: func() (core.Backend, error) {
		return kv.Backend(core.BackendInfo{Name: "plain", Version: "1"}, func(context.Context, core.Config) (kv.Store, error) {
			return &plain{m: map[string][]byte{}}, nil
		}), nil
	},
	Place: func() (*escrowtest.Place, error) {
		return &escrowtest.Place{Config: core.Config{Values: map[string]string{}}}, nil
	},
}

// A plain store behind the shim keeps the whole contract.
// req: K-6.2-02a
func TestConformance(t *testing.T) { escrowtest.Run(t, harness) }

func BenchmarkKit(b *testing.B) { escrowtest.Bench(b, harness) }
