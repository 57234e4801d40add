package sscc_test

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sscc"
	"github.com/keposs/keposs/internal/testenv"
)

// A class is one reason for the refusal of I8, or one kind of guess.
type class struct {
	name string
	peer protocol.Peer
	user func() protocol.ID
}

// refusedClasses are all reasons for which a device is refused.
func refusedClasses(t *testing.T, edit ...func(*sscc.Config)) (*realm, []class) {
	r := newRealm(t, edit...)
	app := r.app(sscc.AppRequest{Limit: 1})
	p := r.phone(app)
	a, locked, spent, gone := p.account(protocol.ModeHardened), p.account(protocol.ModeHardened), p.account(protocol.ModeHardened), p.account(protocol.ModeHardened)
	for _, x := range []*account{locked, spent} {
		_, err := x.evaluate()
		r.must(err)
	}
	_, err := locked.evaluate() // the one above the limit locks
	want(t, err, core.Locked)
	r.must(r.Unbind(bg, p.peer, gone.removal(false)))
	foreign, revoked := r.phone(app), r.phone(app)
	left := r.phone(r.app(sscc.AppRequest{Name: "left"}))
	r.admin(func(tok sscc.Token) {
		r.must(r.RevokeDevice(bg, tok, app, revoked.peer.Device))
		r.must(r.RevokeApp(bg, tok, left.peer.App))
	})
	r.verify()
	one := func(id protocol.ID) func() protocol.ID { return func() protocol.ID { return id } }
	return r, []class{
		{"unknown user", foreign.peer, newID},
		{"another device's user", foreign.peer, one(a.user)},
		{"another device's locked user", foreign.peer, one(locked.user)},
		{"another device's user without tries", foreign.peer, one(spent.user)},
		{"removed user", p.peer, one(gone.user)},
		{"revoked device", revoked.peer, one(a.user)},
		{"revoked app", left.peer, one(a.user)},
		{"unknown device", protocol.Peer{App: app, Device: newID(), Key: p.peer.Key}, one(a.user)},
	}
}

// spread times every class in turn and returns the largest over the smallest
// low quantile of a class: how much the fast answers of one class take longer
// than those of another. What a busy machine adds falls on all alike and
// seldom reaches the low quantile.
func spread(t *testing.T, r *realm, cs []class, samples int) float64 {
	times := make([][]time.Duration, len(cs))
	element := point(newKey(t))
	for range samples {
		for i, c := range cs {
			q := protocol.EvaluateRequest{User: c.user(), Gen: 1, Attempt: newID(), Blinded: element}
			start := time.Now()
			_, err := r.Evaluate(bg, c.peer, q)
			times[i] = append(times[i], time.Since(start))
			want(t, err, core.Refused)
		}
	}
	var low []time.Duration
	for i := range times {
		slices.Sort(times[i])
		low = append(low, times[i][samples/10])
		t.Logf("%-36s %v", cs[i].name, low[i])
	}
	return float64(slices.Max(low)) / float64(slices.Min(low))
}

// telling is a backend that works for a while when a record is there: the leak
// that a lookup with its decryption in the wrong place would be.
type telling struct{ *table }

func (x telling) GetMany(ctx context.Context, keys []core.Key, o core.ReadOpts) ([]core.Record, error) {
	out, err := x.table.GetMany(ctx, keys, o)
	if len(keys) == 4 && out[2].Version > 0 { // admit reads the user third
		for start := time.Now(); time.Since(start) < 2*time.Millisecond; {
			sum(bytes.Repeat([]byte{1}, 64))
		}
	}
	return out, err
}

// tooFar is the ratio from which classes count as told apart.
const tooFar = 1.5

// Whatever the reason of a refusal, it takes as long: nobody learns from the
// clock whether a user or device is there, locked or out of tries. A backend
// that takes longer for a user who is there is caught by the same statistic.
// req: K-5.3-04b
func TestTimingClasses(t *testing.T) {
	testenv.NeedLevel(t, 1)
	t.Run("planted leak", func(t *testing.T) {
		r, cs := refusedClasses(t, func(c *sscc.Config) { c.Backend = telling{c.Backend.(*table)} })
		if f := spread(t, r, cs, 50); f < tooFar {
			t.Errorf("a leak of 2 ms gives a ratio of %.2f", f)
		}
	})
	r, cs := refusedClasses(t)
	best := 0.0
	for range 3 { // a busy machine may raise one run; a leak raises all
		if best = spread(t, r, cs, 400); best < tooFar {
			return
		}
	}
	t.Errorf("a class takes %.2f times as long as another", best)
}

// A guess costs the backend the same, whatever is asked: one answer, one commit
// of the counter, the same reads. The count has no short way.
// req: K-5.3-04b
func TestGuessesCostAlike(t *testing.T) {
	r := newRealm(t)
	p := r.phone(r.app(sscc.AppRequest{}))
	a := p.account(protocol.ModeHardened)
	_, err := a.evaluate() // what is read once and kept
	r.must(err)
	again := point(newKey(t))
	for i, b := range []protocol.Point{again, again, point(newKey(t)), p.peer.Key} {
		counts := 0
		r.b.mu.Lock()
		r.b.reads = nil
		r.b.fault = func(m core.Mutation) error {
			if m.Hot[1] == 1 { // a user's counter
				counts++
			}
			return nil
		}
		r.b.mu.Unlock()
		_, err := r.Evaluate(bg, p.peer, protocol.EvaluateRequest{User: a.user, Gen: 1, Attempt: newID(), Blinded: b})
		r.must(err)
		r.b.mu.Lock()
		if counts != 1 || !slices.Equal(r.b.reads, []int{4}) {
			t.Errorf("guess %d: %d commits, reads %v", i, counts, r.b.reads)
		}
		r.b.mu.Unlock()
	}
}
