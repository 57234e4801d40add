package etcd_test

import (
	"fmt"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/badger"
	"github.com/keposs/keposs/escrow/etcd"
	"github.com/keposs/keposs/escrow/memory"
	"github.com/keposs/keposs/escrow/transfer"
	"github.com/keposs/keposs/internal/testenv"
)

// Records, versions and tombstones pass through etcd between other engines
// unchanged: one digest everywhere, and a key made again goes on where its
// tombstone stood.
func TestCopyThrough(t *testing.T) {
	testenv.NeedLevel(t, 1)
	cluster := place(start(t, 3))
	stores := make([]transfer.Store, 3)
	for i, x := range []struct {
		b core.Backend
		c core.Config
	}{{memory.New(), core.Config{}}, {etcd.New(), cluster}, {badger.New(), core.Config{Values: map[string]string{"dir": t.TempDir()}}}} {
		t.Cleanup(func() { _ = x.b.Close() })
		if err := x.b.Configure(t.Context(), x.c); err != nil {
			t.Fatal(err)
		}
		s, err := transfer.Of(x.b)
		if err != nil {
			t.Fatal(err)
		}
		stores[i] = s
	}
	for i := 0; i < 1500; i += 500 {
		recs := make([]core.Record, 500)
		for j := range recs {
			recs[j] = core.Record{Key: core.Key(fmt.Sprintf("filler %08d", i+j)), Version: 1, Hot: make([]byte, 400), Blob: make([]byte, 1600)}
		}
		if err := stores[0].Import(t.Context(), recs, nil); err != nil {
			t.Fatal(err)
		}
	}
	root := core.Key("root")
	for _, m := range []core.Mutation{
		{Key: root, Op: core.OpPut, Hot: []byte{1}, ReqID: core.ReqID{1}},
		{Key: core.Key("filler 00000007"), Expect: 1, Op: core.OpDelete, ReqID: core.ReqID{2}},
		{Key: core.Key("filler 00000008"), Expect: 1, Op: core.OpPutHot, Hot: []byte{9}, ReqID: core.ReqID{3}},
	} {
		res, err := stores[0].CommitMany(t.Context(), []core.Mutation{m})
		if err != nil || res[0].Err != nil {
			t.Fatal(err, res)
		}
	}
	o := transfer.Options{Last: root}
	first, err := transfer.Copy(t.Context(), stores[0], stores[1], o)
	if err != nil {
		t.Fatal(err)
	}
	second, err := transfer.Copy(t.Context(), stores[1], stores[2], o)
	if err != nil {
		t.Fatal(err)
	}
	if first.Digest != second.Digest || first.Tombstones != 1 || second.Tombstones != 1 {
		t.Fatalf("%+v, then %+v", first, second)
	}
	for i, s := range stores[1:] {
		res, err := s.CommitMany(t.Context(), []core.Mutation{{Key: core.Key("filler 00000007"), Op: core.OpPut}})
		if err != nil || res[0].Version != 3 {
			t.Fatalf("store %d: %v, %+v, want version 3", i+1, err, res)
		}
	}
}
