package transfer_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/badger"
	"github.com/keposs/keposs/escrow/memory"
	"github.com/keposs/keposs/escrow/transfer"
)

var bg = context.Background()

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want(t testing.TB, err error, code core.Code) {
	t.Helper()
	if core.CodeOf(err) != code {
		t.Fatalf("got %v (%s), want %s", err, core.CodeOf(err), code)
	}
}

func inMemory(t testing.TB) transfer.Store {
	t.Helper()
	return opened(t, memory.New(), nil)
}

func onDisk(t testing.TB) transfer.Store {
	t.Helper()
	return opened(t, badger.New(), map[string]string{"dir": t.TempDir(), "memtable_mb": "8", "watermark_mb": "48", "ballast_mb": "0"})
}

func opened(t testing.TB, b core.Backend, values map[string]string) transfer.Store {
	t.Helper()
	must(t, b.Configure(bg, core.Config{Values: values}))
	t.Cleanup(func() { _ = b.Close() })
	s, err := transfer.Of(b)
	must(t, err)
	return s
}

func key(i int) core.Key { return core.Key(fmt.Sprintf("record-%05d", i)) }

// last is what stands for SS-CC's boot record.
var last = core.Key("boot")

func put(t testing.TB, s core.Backend, m core.Mutation) core.Version {
	t.Helper()
	binary.BigEndian.PutUint64(m.ReqID[:], uint64(m.Expect)+1)
	copy(m.ReqID[8:], m.Key)
	res, err := s.CommitMany(bg, []core.Mutation{m})
	must(t, err)
	must(t, res[0].Err)
	return res[0].Version
}

// fill makes n records of several versions, every seventh deleted, and last.
func fill(t testing.TB, s core.Backend, n int) {
	t.Helper()
	var ms []core.Mutation
	for i := range n {
		ms = append(ms, core.Mutation{Key: key(i), Op: core.OpPut, Hot: []byte{1, byte(i)}, Blob: make([]byte, i%3000), ReqID: core.ReqID{1, byte(i), byte(i >> 8)}})
	}
	for len(ms) > 0 {
		k := min(len(ms), core.MaxBatch)
		res, err := s.CommitMany(bg, ms[:k])
		must(t, err)
		for _, r := range res {
			must(t, r.Err)
		}
		ms = ms[k:]
	}
	for i := 0; i < n; i += 7 {
		if i%2 == 0 {
			put(t, s, core.Mutation{Key: key(i), Expect: 1, Op: core.OpDelete})
		} else {
			put(t, s, core.Mutation{Key: key(i), Expect: 1, Op: core.OpPutHot, Hot: []byte{2}})
		}
	}
	put(t, s, core.Mutation{Key: last, Op: core.OpPut, Hot: []byte{9}, Blob: []byte("root")})
}

// dump is everything a store holds, by key.
func dump(t testing.TB, s transfer.Store) map[string]string {
	t.Helper()
	out := map[string]string{}
	for req := (core.ScanRequest{Limit: 1000}); ; {
		p, err := s.Export(bg, req)
		must(t, err)
		for i, r := range p.Records {
			out[string(r.Key)] = fmt.Sprintf("%d %v %x %x %x", r.Version, p.Deleted[i], r.ReqID, r.Hot, r.Blob)
		}
		if p.Next == nil {
			return out
		}
		req.After = p.Next
	}
}

func equal(t testing.TB, a, b map[string]string) {
	t.Helper()
	if len(a) != len(b) {
		t.Fatalf("%d records, want %d", len(b), len(a))
	}
	for k, v := range a {
		if b[k] != v {
			t.Fatalf("%q: %.80q, want %.80q", k, b[k], v)
		}
	}
}
