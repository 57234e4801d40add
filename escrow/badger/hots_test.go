package badger

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	db "github.com/dgraph-io/badger/v4"
	"github.com/hashicorp/go-hclog"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/internal/codec"
)

// What is kept in memory is what the files say, through writes, repeats, lost
// races, deletions and imports, with room for few of the keys.
func TestHotsAreTheFiles(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := NewLogged(hclog.New(&hclog.LoggerOptions{Output: io.Discard}))
	s.hots = newHots(5)
	if err := s.Configure(ctx, core.Config{Values: map[string]string{"dir": t.TempDir(), "memtable_mb": "8", "watermark_mb": "48", "vlog_mb": "8", "ballast_mb": "0"}}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	r := rand.New(rand.NewPCG(1, 2))
	kept, none := 0, 0
	for step := range 60 {
		var ms []core.Mutation
		for range 1 + r.IntN(6) {
			m := core.Mutation{Key: core.Key(fmt.Sprintf("key-%d", r.IntN(9))), Op: core.OpPut, Expect: core.Version(r.IntN(6)), Hot: fmt.Appendf(nil, "hot-%d", r.Uint64()), ReqID: core.ReqID{byte(r.IntN(40)), 1}}
			switch r.IntN(4) {
			case 0:
				m.Op, m.Hot, m.Expect = core.OpDelete, nil, m.Expect+1
			case 1:
				m.Op, m.Expect = core.OpPutHot, m.Expect+1
			case 2:
				m.Blob = []byte("blob")
			}
			ms = append(ms, m)
		}
		if _, err := s.CommitMany(ctx, ms); err != nil {
			t.Fatal(err)
		}
		if step%10 == 9 {
			rec := core.Record{Key: core.Key("key-1"), Version: core.Version(100 + step), Hot: []byte("imported")}
			if err := s.Import(ctx, []core.Record{rec}, nil); err != nil {
				t.Fatal(err)
			}
		}
		var keys []core.Key
		for i := range 9 {
			keys = append(keys, core.Key(fmt.Sprintf("key-%d", i)))
		}
		for range 2 {
			got, err := s.GetMany(ctx, keys, core.ReadOpts{HotOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			for i, k := range keys {
				want := fromFiles(t, s, k)
				if want.Deleted {
					want = codec.Meta{}
				}
				if got[i].Version != want.Version || !bytes.Equal(got[i].Hot, want.Hot) || string(got[i].Key) != string(k) {
					t.Fatalf("step %d, %s: version %d %q, the files say %d %q", step, k, got[i].Version, got[i].Hot, want.Version, want.Hot)
				}
				clear(got[i].Hot) // the caller's: what is kept must not notice
			}
		}
		for k, m := range s.hots.none {
			none++
			if want := fromFiles(t, s, core.Key(k)); m.Version != 0 || want.Version != 0 {
				t.Fatalf("step %d: %s is kept as never stored, the files say %+v", step, k, want)
			}
		}
		for k, m := range s.hots.m {
			kept++
			if want := fromFiles(t, s, core.Key(k)); m.Version != want.Version || m.Deleted != want.Deleted || m.ReqID != want.ReqID || m.BlobRev != want.BlobRev || !bytes.Equal(m.Hot, want.Hot) {
				t.Fatalf("step %d: kept of %s %+v, the files say %+v", step, k, m, want)
			}
		}
		if len(s.hots.m) > 5 || len(s.hots.none) > 5 {
			t.Fatalf("%d and %d are kept, at most 5", len(s.hots.m), len(s.hots.none))
		}
	}
	if kept == 0 || none == 0 {
		t.Errorf("control: %d records were kept and %d that are none", kept, none)
	}
}

func fromFiles(t *testing.T, s *Store, k core.Key) (m codec.Meta) {
	t.Helper()
	err := s.at(s.last.Load(), "test", func(txn *db.Txn) (err error) {
		m, err = readHot(txn, k)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// A read that was overtaken by a commit teaches nothing; what was never stored
// is known as that until it is stored, and many such keys push no record out.
func TestHotsLearn(t *testing.T) {
	t.Parallel()
	s := &Store{hots: newHots(5)}
	s.last.Store(7)
	s.learn(6, []known{{core.Key("old"), codec.Meta{Version: 1}}})
	s.learn(7, []known{{core.Key("none"), codec.Meta{}}, {core.Key("new"), codec.Meta{Version: 2}}})
	if _, ok := s.hots.get(core.Key("old")); ok {
		t.Error("an overtaken read is kept")
	}
	if m, ok := s.hots.get(core.Key("none")); !ok || m.Version != 0 {
		t.Errorf("a key that was never stored is not known as that: %+v", m)
	}
	s.durable(8, map[string]codec.Meta{"none": {Version: 1}})
	if m, ok := s.hots.get(core.Key("none")); !ok || m.Version != 1 || len(s.hots.none) != 0 {
		t.Errorf("a key stored at last: %+v", m)
	}
	for i := range 20 {
		s.learn(8, []known{{core.Key{byte(i)}, codec.Meta{}}})
	}
	if m, ok := s.hots.get(core.Key("new")); !ok || m.Version != 2 {
		t.Errorf("a read is not kept: %+v", m)
	}
	if len(s.hots.none) != 5 {
		t.Errorf("%d keys are known as never stored, at most 5", len(s.hots.none))
	}
}
