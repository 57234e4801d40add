package escrowtest_test

import (
	"bytes"
	"context"
	"encoding/gob"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/escrowtest"
	"github.com/keposs/keposs/escrow/memory"
)

// handle is one of several on a store that all of a place share. With caches it
// answers reads from what it read before and did not itself change.
type handle struct {
	core.Backend
	caches bool
	mu     sync.Mutex
	seen   map[string]core.Record
	places *sync.Map
}

func (h *handle) Configure(ctx context.Context, c core.Config) error {
	name := c.Values["place"]
	fresh := memory.New()
	if err := fresh.Configure(ctx, core.Config{}); err != nil {
		return err
	}
	b, _ := h.places.LoadOrStore(name, fresh)
	h.Backend = b.(core.Backend)
	return nil
}

func (h *handle) Close() error { return nil }

func (h *handle) GetMany(ctx context.Context, keys []core.Key, o core.ReadOpts) ([]core.Record, error) {
	if h.caches && len(keys) == 1 {
		h.mu.Lock()
		r, ok := h.seen[string(keys[0])]
		h.mu.Unlock()
		if ok {
			return []core.Record{r}, nil
		}
	}
	out, err := h.Backend.GetMany(ctx, keys, o)
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range out {
		h.seen[string(r.Key)] = r
	}
	return out, err
}

func (h *handle) CommitMany(ctx context.Context, ms []core.Mutation) ([]core.Result, error) {
	out, err := h.Backend.CommitMany(ctx, ms)
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range ms {
		delete(h.seen, string(m.Key))
	}
	return out, err
}

func shared(_ *testing.T, faulty bool) escrowtest.Harness {
	var places sync.Map
	var n atomic.Int64
	return escrowtest.Harness{
		Name: "handles", Shared: true,
		New: func() (core.Backend, error) {
			return &handle{Backend: memory.New(), caches: faulty, seen: map[string]core.Record{}, places: &places}, nil
		},
		Place: func() (*escrowtest.Place, error) {
			return &escrowtest.Place{Config: core.Config{Values: map[string]string{"place": fmt.Sprint(n.Add(1))}}}, nil
		},
	}
}

// dump keeps its records in a map and writes them down, as they are, when it is
// closed: nothing in the file tells damage, or how new it is.
type dump struct {
	core.Backend
	path string
}

type dumpedRecord struct {
	Record core.Record
	Dead   bool
}

func (d *dump) Configure(ctx context.Context, c core.Config) error {
	d.path = c.Values["path"]
	if err := d.Backend.Configure(ctx, core.Config{}); err != nil {
		return err
	}
	b, err := os.ReadFile(d.path)
	if os.IsNotExist(err) {
		return nil
	}
	var all []dumpedRecord
	if err == nil {
		err = gob.NewDecoder(bytes.NewReader(b)).Decode(&all)
	}
	for _, r := range all {
		if err == nil {
			err = d.Backend.(core.Exporter).Import(ctx, []core.Record{r.Record}, []bool{r.Dead})
		}
	}
	if err != nil {
		return core.Errorf(core.Corrupt, "dump", "%w", err)
	}
	return nil
}

func (d *dump) Close() error {
	p, err := d.Backend.(core.Exporter).Export(context.Background(), core.ScanRequest{Limit: 1000})
	if err == nil {
		var all []dumpedRecord
		for i, r := range p.Records {
			all = append(all, dumpedRecord{r, p.Deleted[i]})
		}
		var b bytes.Buffer
		if err = gob.NewEncoder(&b).Encode(all); err == nil {
			err = os.WriteFile(d.path, b.Bytes(), 0o600)
		}
	}
	if core.CodeOf(err) == core.Closed || core.CodeOf(err) == core.State {
		return d.Backend.Close()
	}
	return err
}

// dumped is a store without checksums, or the reference backend with its log.
func dumped(_ *testing.T, faulty bool) escrowtest.Harness {
	return escrowtest.Harness{
		Name: "dump", Durable: true, Place: inFolders(logIn),
		New: func() (core.Backend, error) {
			if faulty {
				return &dump{Backend: memory.New()}, nil
			}
			return memory.New(), nil
		},
	}
}

// careless moves records without thinking of versions or of the dead.
type careless struct {
	core.Backend
	overwrites, noTombs bool
}

// without makes the store anew from those of its records that keep says.
func (c *careless) without(ctx context.Context, keep func(r core.Record, dead bool) bool) error {
	p, err := c.Backend.(core.Exporter).Export(ctx, core.ScanRequest{Limit: 1000})
	if err != nil {
		return err
	}
	next := memory.New()
	if err := next.Configure(ctx, core.Config{}); err != nil {
		return err
	}
	for i, r := range p.Records {
		if dead := p.Deleted != nil && p.Deleted[i]; keep(r, dead) {
			if err := next.(core.Exporter).Import(ctx, []core.Record{r}, []bool{dead}); err != nil {
				return err
			}
		}
	}
	c.Backend = next
	return nil
}

func (c *careless) Export(ctx context.Context, req core.ScanRequest) (core.Page, error) {
	if c.noTombs {
		req.Hot, req.Blob, req.Tombs = true, true, false
		return c.Scan(ctx, req)
	}
	return c.Backend.(core.Exporter).Export(ctx, req)
}

func (c *careless) Import(ctx context.Context, recs []core.Record, dead []bool) error {
	x := func() core.Exporter { return c.Backend.(core.Exporter) }
	if c.overwrites {
		scratch := memory.New() // what could not have been exported is refused first
		if err := scratch.Configure(ctx, core.Config{}); err != nil {
			return err
		}
		if err := scratch.(core.Exporter).Import(ctx, recs, dead); err != nil {
			return err
		}
		if err := c.without(ctx, func(r core.Record, _ bool) bool {
			for _, in := range recs {
				if bytes.Equal(in.Key, r.Key) {
					return false
				}
			}
			return true
		}); err != nil {
			return err
		}
	}
	return x().Import(ctx, recs, dead)
}

// compacting is a store asked to compact, which forgets the dead.
func compacting(_ *testing.T, faulty bool) escrowtest.Harness {
	h := volatile(func(b core.Backend) core.Backend { return &careless{Backend: b} })
	h.Tidy = func(ctx context.Context, _ *escrowtest.Place, b core.Backend) error {
		if !faulty {
			return nil
		}
		return b.(*careless).without(ctx, func(_ core.Record, dead bool) bool { return !dead })
	}
	return h
}
