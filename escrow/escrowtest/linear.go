package escrowtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/keposs/keposs/core"
)

// What a client asked and heard, for porcupine. One partition per key.
type (
	asked struct {
		key    int
		read   bool
		op     core.Op
		expect core.Version
		hot    string
		blob   string
	}
	heard struct {
		unknown bool // no answer: it may have happened, or not
		code    core.Code
		version core.Version // read or made; Current with Conflict and NotFound
		hot     string
		blob    string
	}
	keyState struct {
		version core.Version
		dead    bool
		hot     string
		blob    string
	}
)

// model is the sequential specification of one key.
var model = porcupine.NondeterministicModel{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		parts := map[int][]porcupine.Operation{}
		for _, o := range history {
			k := o.Input.(asked).key
			parts[k] = append(parts[k], o)
		}
		out := make([][]porcupine.Operation, 0, len(parts))
		for _, p := range parts {
			out = append(out, p)
		}
		return out
	},
	Init: func() []any { return []any{keyState{}} },
	Step: func(state, input, output any) []any {
		s, a, h := state.(keyState), input.(asked), output.(heard)
		present := s.version > 0 && !s.dead
		if a.read {
			switch {
			case h.unknown:
				return []any{s}
			case present && h.version == s.version && h.hot == s.hot && h.blob == s.blob, !present && h.version == 0:
				return []any{s}
			}
			return nil
		}
		next, code, tells := s, core.Unknown, core.Version(0)
		create := a.op == core.OpPut && a.expect == 0
		switch {
		case create && present, !create && present && a.expect != s.version:
			code, tells = core.Conflict, s.version
		case !create && !present:
			code, tells = core.NotFound, s.version
		default:
			next = keyState{version: s.version + 1, dead: a.op == core.OpDelete, hot: a.hot, blob: a.blob}
			if a.op == core.OpPutHot {
				next.blob = s.blob
			}
			tells = next.version
		}
		switch {
		case h.unknown && code == core.Unknown:
			return []any{s, next}
		case h.unknown:
			return []any{s}
		case h.code == code && h.version == tells:
			return []any{next}
		}
		return nil
	},
}

// history runs clients that each do ops operations over keys and returns what
// they saw. With bear they go on until ctx ends, and what certainly did not
// happen is no operation.
func history(ctx context.Context, handles []core.Backend, ks keys, clients, nkeys, ops int, bear bool) ([]porcupine.Operation, error) {
	start := time.Now()
	hists, errs := make([][]porcupine.Operation, clients), make([]error, clients)
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(c), 7))
			guess := make([]core.Version, nkeys)
			b := handles[c%len(handles)]
			for n := 0; n < ops && (!bear || ctx.Err() == nil); n++ {
				a := asked{key: rnd.IntN(nkeys)}
				a.read = rnd.IntN(3) == 0
				if !a.read {
					a.op, a.expect = core.OpPutHot, guess[a.key]
					switch d := rnd.IntN(10); {
					case a.expect == 0 || d == 0:
						a.op, a.expect = core.OpPut, 0
					case d < 4:
						a.op = core.OpPut
					case d == 4:
						a.op = core.OpDelete
					}
					if a.op != core.OpDelete {
						a.hot = fmt.Sprintf("%d.%d", c, n)
					}
					if a.op == core.OpPut {
						a.blob = "blob " + a.hot
					}
				}
				call := time.Since(start).Nanoseconds()
				h, err := ask(ctx, b, ks.at(a.key), a)
				switch {
				case err == nil:
				case bear && (a.read || notApplied(err) || errors.Is(err, core.Throttled)):
					time.Sleep(20 * time.Millisecond)
					continue
				default:
					errs[c] = err
					return
				}
				o := porcupine.Operation{ClientId: c, Input: a, Output: h, Call: call, Return: time.Since(start).Nanoseconds()}
				if h.unknown {
					o.Return = 1 << 62
				}
				hists[c] = append(hists[c], o)
				if h.version > 0 || h.code == core.NotFound || a.read {
					guess[a.key] = h.version
				}
				if h.code == core.NotFound || a.op == core.OpDelete && h.code == 0 {
					guess[a.key] = 0
				}
			}
		})
	}
	wg.Wait()
	var all []porcupine.Operation
	for _, h := range hists {
		all = append(all, h...)
	}
	return all, errors.Join(errs...)
}

func ask(ctx context.Context, b core.Backend, k core.Key, a asked) (heard, error) {
	if a.read {
		rec, err := get(ctx, b, k)
		return heard{version: rec.Version, hot: string(rec.Hot), blob: string(rec.Blob)}, err
	}
	m := core.Mutation{Key: k, Expect: a.expect, Op: a.op, ReqID: reqID()}
	if a.op != core.OpDelete {
		m.Hot = []byte(a.hot)
	}
	if a.op == core.OpPut {
		m.Blob = []byte(a.blob)
	}
	v, err := commit(ctx, b, m)
	var e *core.Error
	switch {
	case err == nil:
		return heard{version: v}, nil
	case errors.As(err, &e) && (e.Code == core.Conflict || e.Code == core.NotFound):
		return heard{code: e.Code, version: e.Current}, nil
	case errors.Is(err, core.Indeterminate):
		return heard{unknown: true}, nil
	}
	return heard{}, err
}

// judge checks a history.
func judge(h []porcupine.Operation) error {
	m := model.ToModel()
	switch porcupine.CheckOperationsTimeout(m, h, 30*time.Second) {
	case porcupine.Ok:
		return nil
	case porcupine.Unknown:
		return Skip("the history is too tangled to judge in 30 s")
	}
	return fmt.Errorf("no order of these %d operations explains every answer", len(h))
}

// handles are f and, where the store is shared, another one on its place.
func (f *Fixture) handles(ctx context.Context) (hs []core.Backend, done func(), err error) {
	hs, done = []core.Backend{f}, func() {}
	if !f.rig.Shared {
		return hs, done, nil
	}
	other, err := f.Second(ctx)
	if err != nil {
		return nil, nil, err
	}
	return append(hs, other), func() { _ = other.Close() }, nil
}

// busyHistory judges what clients see until ctx ends, while harm is done.
func busyHistory(ctx context.Context, handles []core.Backend) error {
	h, err := history(ctx, handles, newKeys(), 6, 12, 400, true)
	var skip Skip
	if err = first(err, judge(h)); errors.As(err, &skip) {
		return nil // the load judges this round
	}
	return err
}

func linearizable(ctx context.Context, r *Rig, clients, nkeys, ops int) error {
	b, err := r.Common(ctx)
	if err != nil {
		return err
	}
	handles, done, err := b.handles(ctx)
	if err != nil {
		return err
	}
	defer done()
	h, err := history(ctx, handles, newKeys(), clients, nkeys, ops, false)
	if err != nil {
		return err
	}
	return judge(h)
}
