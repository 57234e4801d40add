package transfer_test

import (
	"context"
	"errors"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/step"
	"github.com/keposs/keposs/escrow/transfer"
)

// Records, versions, request ids and tombstones arrive as they were, on every
// way between engines, and both sides have one digest.
func TestCopyBetween(t *testing.T) {
	for name, to := range map[string]func(testing.TB) transfer.Store{"memory to badger": onDisk, "memory to memory": inMemory} {
		t.Run(name, func(t *testing.T) {
			a, b, c := inMemory(t), to(t), inMemory(t)
			fill(t, a, 1300)
			r, err := transfer.Copy(bg, a, b, transfer.Options{Last: last})
			must(t, err)
			if r.Records+r.Tombstones != 1301 || r.Tombstones == 0 || r.Copied != 1301 || r.Digest == "" {
				t.Fatalf("%+v", r)
			}
			equal(t, dump(t, a), dump(t, b))
			back, err := transfer.Copy(bg, b, c, transfer.Options{Last: last})
			must(t, err)
			if back.Digest != r.Digest {
				t.Fatal("the digest of one content differs between stores")
			}
			equal(t, dump(t, a), dump(t, c))
			// A deleted key goes on where its tombstone stands.
			res, err := c.CommitMany(bg, []core.Mutation{{Key: key(0), Op: core.OpPut, Hot: []byte{3}}})
			must(t, err)
			if res[0].Version != 3 {
				t.Fatalf("a key made again after the move has version %d, want 3", res[0].Version)
			}
		})
	}
}

// Ended after any page or step, run again from where it was told or from the
// start: the same content, and never the last record before the others.
func TestCopyInterrupted(t *testing.T) {
	a := inMemory(t)
	fill(t, a, 2100)
	for stop := 0; ; stop++ {
		b := inMemory(t)
		ctx, cancel := context.WithCancel(bg)
		n, ended := 0, false
		var after core.Key
		end := func() {
			if n++; n == stop+1 {
				ended = true
				cancel()
			}
		}
		o := transfer.Options{Last: last, Step: step.Func(func(string) { end() }), Progress: func(p transfer.Progress) {
			if p.Phase == "copy" {
				after = p.After
			}
			end()
		}}
		_, err := transfer.Copy(ctx, a, b, o)
		cancel()
		if !ended {
			must(t, err)
			if stop < 8 {
				t.Fatalf("only %d places to stop at", stop)
			}
			return
		}
		have := dump(t, b)
		if _, whole := have[string(last)]; whole && len(have) != 2101 {
			t.Fatalf("stopped at %d, the target could be served with %d of 2101 records", stop, len(have))
		}
		o = transfer.Options{Last: last}
		if stop%2 == 0 {
			o.After = after
		}
		_, err = transfer.Copy(bg, a, b, o)
		must(t, err)
		equal(t, dump(t, a), dump(t, b))
	}
}

// What was written to the source between two runs, also before the place where
// the second goes on, arrives.
func TestCopyCatchesUp(t *testing.T) {
	a, b := inMemory(t), inMemory(t)
	fill(t, a, 1200)
	ctx, cancel := context.WithCancel(bg)
	var after core.Key
	_, err := transfer.Copy(ctx, a, b, transfer.Options{Last: last, Progress: func(p transfer.Progress) { after = p.After; cancel() }})
	if err == nil {
		t.Fatal("a given up copy succeeded")
	}
	put(t, a, core.Mutation{Key: key(1), Expect: 1, Op: core.OpPutHot, Hot: []byte("later")})
	put(t, a, core.Mutation{Key: core.Key("a-new-one"), Op: core.OpPut, Hot: []byte("later")})
	_, err = transfer.Copy(bg, a, b, transfer.Options{Last: last, After: after})
	must(t, err)
	equal(t, dump(t, a), dump(t, b))
}

// A target that is newer, foreign or different is refused and stays as it was.
func TestCopyRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		code core.Code
		do   func(t *testing.T, a, b transfer.Store)
	}{
		{"newer record", core.State, func(t *testing.T, _, b transfer.Store) {
			put(t, b, core.Mutation{Key: key(1), Expect: 1, Op: core.OpPutHot, Hot: []byte{7}})
		}},
		{"newer root", core.State, func(t *testing.T, _, b transfer.Store) {
			put(t, b, core.Mutation{Key: last, Expect: 1, Op: core.OpPutHot, Hot: []byte{7}})
		}},
		{"foreign record", core.State, func(t *testing.T, _, b transfer.Store) {
			put(t, b, core.Mutation{Key: core.Key("zzz"), Op: core.OpPut, Hot: []byte{7}})
		}},
		{"changed record", core.Corrupt, func(t *testing.T, a, b transfer.Store) {
			must(t, b.Import(bg, []core.Record{{Key: key(1), Version: 5, Hot: []byte{7}}}, nil))
			must(t, a.Import(bg, []core.Record{{Key: key(1), Version: 5, Hot: []byte{8}}}, nil))
		}},
		{"moved source", core.State, func(t *testing.T, a, _ transfer.Store) {
			must(t, transfer.Retire(bg, a, "elsewhere", 1))
		}},
		{"no root", core.State, func(t *testing.T, a, b transfer.Store) {
			put(t, a, core.Mutation{Key: last, Expect: 1, Op: core.OpDelete})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := inMemory(t), inMemory(t)
			fill(t, a, 20)
			_, err := transfer.Copy(bg, a, b, transfer.Options{Last: last})
			must(t, err)
			c.do(t, a, b)
			before := dump(t, b)
			_, err = transfer.Copy(bg, a, b, transfer.Options{Last: last})
			want(t, err, c.code)
			equal(t, before, dump(t, b))
		})
	}
}

// A store that was moved says so until it is itself the target of a way back.
func TestThereAndBack(t *testing.T) {
	a, b := inMemory(t), inMemory(t)
	fill(t, a, 20)
	_, err := transfer.Copy(bg, a, b, transfer.Options{Last: last})
	must(t, err)
	must(t, transfer.Retire(bg, a, "b", 1))
	to, err := transfer.Moved(bg, a)
	must(t, err)
	if to != "b" {
		t.Fatalf("moved to %q", to)
	}
	put(t, b, core.Mutation{Key: key(1), Expect: 1, Op: core.OpPutHot, Hot: []byte("counted")})
	_, err = transfer.Copy(bg, b, a, transfer.Options{Last: last})
	must(t, err)
	if to, err = transfer.Moved(bg, a); err != nil || to != "" {
		t.Fatalf("moved to %q, %v", to, err)
	}
	got, err := a.GetMany(bg, []core.Key{key(1)}, core.ReadOpts{})
	must(t, err)
	if string(got[0].Hot) != "counted" || got[0].Version != 2 {
		t.Fatalf("%+v", got[0])
	}
}

// A target that acknowledges and forgets is noticed.
func TestCopyReadsBack(t *testing.T) {
	a, b := inMemory(t), inMemory(t)
	fill(t, a, 20)
	_, err := transfer.Copy(bg, a, forgetful{b}, transfer.Options{Last: last})
	if err == nil || errors.Is(err, core.Internal) {
		t.Fatalf("records that never arrived were taken as copied: %v", err)
	}
}

type forgetful struct{ transfer.Store }

func (forgetful) Import(context.Context, []core.Record, []bool) error { return nil }
