package transfer_test

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/transfer"
)

// Sixteen clients count while the place of their store is taken: none is
// refused, no count is lost or lowered, and what was acknowledged is in the
// target.
// req: K-6.2-02a
func TestMoveWhileCounting(t *testing.T) {
	const clients = 16
	a, b := onDisk(t), inMemory(t)
	fill(t, a, 1500)
	l := transfer.NewLive(a)
	for i := range clients {
		put(t, l, core.Mutation{Key: counter(i), Op: core.OpPut, Hot: make([]byte, 8), Blob: []byte("sealed")})
	}
	var wg sync.WaitGroup
	var stop atomic.Bool
	var switched atomic.Int64
	counts := make([]uint64, clients)
	for i := range clients {
		wg.Go(func() {
			for v := core.Version(1); !stop.Load(); v++ {
				hot := binary.BigEndian.AppendUint64(nil, uint64(v))
				m := core.Mutation{Key: counter(i), Expect: v, Op: core.OpPutHot, Hot: hot, ReqID: core.ReqID{byte(i), 1, byte(v), byte(v >> 8), byte(v >> 16)}}
				res, err := l.CommitMany(bg, []core.Mutation{m})
				if err == nil {
					err = res[0].Err
				}
				if err != nil {
					t.Error(err)
					return
				}
				counts[i] = uint64(v)
				got, err := l.GetMany(bg, []core.Key{counter(i)}, core.ReadOpts{HotOnly: true})
				if err != nil || binary.BigEndian.Uint64(got[0].Hot) != uint64(v) {
					t.Errorf("after count %d: %+v, %v", v, got, err)
					return
				}
			}
		})
	}
	r, err := l.Move(bg, b, transfer.Options{Last: last, Name: "b", Unix: 1}, func() error { switched.Add(1); return nil })
	must(t, err)
	time.Sleep(20 * time.Millisecond) // some counts after the switch
	stop.Store(true)
	wg.Wait()
	if switched.Load() != 1 {
		t.Fatalf("announced %d times", switched.Load())
	}
	t.Logf("%d records, %d written, %d rounds, calls waited %s", r.Records, r.Copied, r.Rounds, r.Held)
	for i := range clients {
		got, err := b.GetMany(bg, []core.Key{counter(i)}, core.ReadOpts{})
		must(t, err)
		if n := binary.BigEndian.Uint64(got[0].Hot); n != counts[i] || string(got[0].Blob) != "sealed" {
			t.Errorf("client %d: the target has %d, acknowledged were %d", i, n, counts[i])
		}
	}
	if to, err := transfer.Moved(bg, a); err != nil || to != "b" {
		t.Errorf("the source says it was moved to %q, %v", to, err)
	}
	if l.Now() != core.Backend(b) {
		t.Error("the target is not in use")
	}
}

func counter(i int) core.Key { return core.Key{'c', byte(i)} }

// When the change cannot be made durable nobody is served from either store.
func TestMoveThatCannotBeAnnounced(t *testing.T) {
	a, b := inMemory(t), inMemory(t)
	fill(t, a, 20)
	l := transfer.NewLive(a)
	_, err := l.Move(bg, b, transfer.Options{Last: last, Name: "b"}, func() error { return core.Errorf(core.Exhausted, "test", "disk full") })
	want(t, err, core.Unavailable)
	_, err = l.GetMany(bg, []core.Key{last}, core.ReadOpts{})
	want(t, err, core.Unavailable)
	want(t, l.Health(bg), core.Unavailable)
	if to, err := transfer.Moved(bg, a); err != nil || to != "" {
		t.Fatalf("%q %v", to, err)
	}
}

// A move that is given up leaves the source in use; the next one ends it.
func TestMoveGivenUp(t *testing.T) {
	a, b := inMemory(t), inMemory(t)
	fill(t, a, 1200)
	put(t, b, core.Mutation{Key: core.Key("zzz"), Op: core.OpPut})
	l := transfer.NewLive(a)
	_, err := l.Move(bg, b, transfer.Options{Last: last, Name: "b"}, func() error { return nil })
	want(t, err, core.State)
	put(t, l, core.Mutation{Key: key(1), Expect: 1, Op: core.OpPutHot, Hot: []byte{5}})
	if l.Now() != core.Backend(a) {
		t.Fatal("the source is no longer in use")
	}
	c := inMemory(t)
	_, err = l.Move(bg, c, transfer.Options{Last: last, Name: "c"}, func() error { return nil })
	must(t, err)
	if _, err := transfer.Snapshot(bg, a, discard{}, 1, nil); core.CodeOf(err) != core.State {
		t.Fatalf("a snapshot of a store that was moved: %v", err)
	}
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }
