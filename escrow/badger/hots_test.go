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
	kept := 0
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
		for k, m := range s.hots.m {
			kept++
			if want := fromFiles(t, s, core.Key(k)); m.Version != want.Version || m.Deleted != want.Deleted || m.ReqID != want.ReqID || m.BlobRev != want.BlobRev || !bytes.Equal(m.Hot, want.Hot) {
				t.Fatalf("step %d: kept of %s %+v, the files say %+v", step, k, m, want)
			}
		}
		if len(s.hots.m) > 5 {
			t.Fatalf("%d are kept, at most 5", len(s.hots.m))
		}
	}
	if kept == 0 {
		t.Error("control: nothing was ever kept")
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

// A read that was overtaken by a commit teaches nothing, and neither does a key
// that was never stored.
func TestHotsLearn(t *testing.T) {
	t.Parallel()
	s := &Store{hots: newHots(5)}
	s.last.Store(7)
	s.learn(6, []known{{core.Key("old"), codec.Meta{Version: 1}}})
	s.learn(7, []known{{core.Key("none"), codec.Meta{}}, {core.Key("new"), codec.Meta{Version: 2}}})
	if _, ok := s.hots.get(core.Key("old")); ok {
		t.Error("an overtaken read is kept")
	}
	if _, ok := s.hots.get(core.Key("none")); ok {
		t.Error("a key that was never stored is kept")
	}
	if m, ok := s.hots.get(core.Key("new")); !ok || m.Version != 2 {
		t.Errorf("a read is not kept: %+v", m)
	}
}
