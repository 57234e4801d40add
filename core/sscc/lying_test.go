package sscc_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sscc"
)

// A liar is an engine that lies about counters once it is told to.
type liar struct {
	core.Backend
	mu  sync.Mutex
	lie string
	was map[string]core.Record // what reads of long ago give
}

func (l *liar) tell(lie string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lie, l.was = lie, map[string]core.Record{}
}

func (l *liar) CommitMany(ctx context.Context, ms []core.Mutation) ([]core.Result, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]core.Result, len(ms))
	for i, m := range ms {
		if l.lie == "dropped" && m.Op == core.OpPutHot {
			out[i].Version = m.Expect + 1
			continue
		}
		r, err := l.Backend.CommitMany(ctx, []core.Mutation{m})
		if err != nil {
			return nil, err
		}
		out[i] = r[0]
		if l.lie == "conflict" && m.Op == core.OpPutHot && r[0].Err == nil {
			out[i] = core.Result{Err: core.Errorf(core.Conflict, "liar", "another version")}
		}
	}
	return out, nil
}

func (l *liar) GetMany(ctx context.Context, keys []core.Key, o core.ReadOpts) ([]core.Record, error) {
	r, err := l.Backend.GetMany(ctx, keys, o)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lie != "stale" || err != nil || !o.HotOnly {
		return r, err
	}
	for i, rec := range r {
		if had, ok := l.was[string(rec.Key)]; ok {
			r[i] = had
		} else {
			l.was[string(rec.Key)] = rec
		}
	}
	return r, nil
}

// What an engine that lies about compare-and-set can do to a terminal: a count
// acknowledged and not kept lets an answer go uncounted, which the terminal
// notices by its memory of (seq, head); a count kept and called a conflict is
// counted once; reads of long ago
// let no answer go uncounted.
// req: K-7.2-D3, X-15
func TestLyingEngine(t *testing.T) {
	for _, mode := range []protocol.Mode{protocol.ModePlain, protocol.ModeHardened} {
		t.Run(mode.String(), func(t *testing.T) {
			b := &liar{}
			r := newRealm(t, func(c *sscc.Config) { b.Backend, c.Backend = c.Backend, b })
			p := r.phone(r.app(sscc.AppRequest{}))
			guess := func(ctx context.Context, m *mstcc.Module, pin string) (bool, core.Code) {
				_, out, err := m.Sign(ctx, []byte("m"), nil, mstcc.OpenOptions{}, types(pin))
				return out.Alarm, core.CodeOf(err)
			}

			m := p.seat(mode).started()
			b.tell("conflict")
			if _, code := guess(bg, m, "wrong"); code != core.Auth {
				t.Errorf("called a conflict: %s", code)
			}
			b.tell("")
			if alarm, code := guess(bg, m, "first"); alarm || code != core.Unknown {
				t.Errorf("called a conflict: alarm %v, %s", alarm, code)
			}
			st, err := m.Status(bg, true)
			r.must(err)
			if st.Server.Tries.Seq != 2 {
				t.Errorf("called a conflict: %d tries counted of 2", st.Server.Tries.Seq)
			}

			m = p.seat(mode).started()
			b.tell("stale")
			answers := uint32(0)
			for range 2 {
				ctx, cancel := context.WithTimeout(bg, 300*time.Millisecond)
				if _, code := guess(ctx, m, "wrong"); code == core.Auth {
					answers++
				}
				cancel()
			}
			b.tell("")
			if st, err = m.Status(bg, true); err != nil || answers > st.Server.Tries.Seq {
				t.Errorf("%d answers from reads of long ago, %d counted, %v", answers, st.Server.Tries.Seq, err)
			}
			if _, code := guess(bg, m, "first"); code != core.Unknown {
				t.Errorf("after reads of long ago: %s", code)
			}

			m = p.seat(mode).started()
			b.tell("dropped")
			if _, code := guess(bg, m, "wrong"); code != core.Auth {
				t.Fatalf("dropped: %s", code)
			}
			b.tell("")
			if alarm, code := guess(bg, m, "first"); !alarm || code != core.Unknown {
				t.Errorf("a dropped count was not noticed: alarm %v, %s", alarm, code)
			}
		})
	}
}
