package thief

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mf"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/kdf"
)

// A search tries PINs against a policy, in ascending order.
type search struct {
	space   int
	checked *mf.Checked
	holder  string
	secret  *secret.Buffer // lent
	key     *secret.Buffer // the OPRF key, where the attacker has it
	kdf     core.KDF
}

// take holds the served policy against itself: an attacker trusts it.
func (x *search) take(ans protocol.PolicyAnswer, l *loot) (err error) {
	p, err := mf.ParsePolicy(ans.Policy)
	if err != nil {
		return err
	}
	slot := &mf.Slot{Policy: sm.SM3(ans.Policy), Epoch: p.Epoch, MKGen: p.MKGen, PPol: p.PPol, Pubs: ans.Pubs}
	x.checked, err = mf.Check(ans.Policy, mf.Expect{Slots: []*mf.Slot{slot}, App: l.binding.App, KDFs: []string{p.KDF.Name}})
	if err != nil {
		return err
	}
	for _, h := range p.Anchor {
		if h.Kind == mf.HolderDevice {
			x.holder = h.ID
		}
	}
	x.secret = l.secret
	x.kdf, err = kdf.Builtin(p.KDF.Name)
	return err
}

// guess derives one PIN to the end. evaluate gives u in hardened mode.
func (x *search) guess(ctx context.Context, n int, evaluate func(in []byte) ([]byte, error)) (bool, error) {
	o, err := mf.NewOpener(x.checked, x.holder, x.secret)
	if err != nil {
		return false, err
	}
	defer o.Wipe()
	if _, err := o.Choose([]string{label}); err != nil {
		return false, err
	}
	pin := secret.Copy(fmt.Appendf(nil, "%04d", n))
	defer pin.Wipe()
	if err := o.SetFactor(label, pin); err != nil {
		return false, err
	}
	if err := o.Stretch(ctx, x.kdf); err != nil {
		return false, err
	}
	var u []byte
	if in := o.OPRFInput(); in != nil {
		defer in.Wipe()
		if u, err = evaluate(in.Bytes()); err != nil {
			return false, err
		}
		defer secret.Zero(u)
	}
	opened, err := o.Finish(u)
	opened.Wipe()
	if errors.Is(err, core.Auth) {
		return false, nil
	}
	return err == nil, err
}

// offline tries every PIN on all processors until one opens.
func (x *search) offline(ctx context.Context, c *Case) error {
	var next, done atomic.Int64
	var found atomic.Bool
	var mu sync.Mutex
	var errs []error
	evaluate := func(in []byte) ([]byte, error) { return mstcc.NewOPRF().FullEvaluate(x.key.Bytes(), in) }
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for !found.Load() {
				n := int(next.Add(1)) - 1
				if n >= x.space {
					return
				}
				ok, err := x.guess(ctx, n, evaluate)
				if err != nil {
					mu.Lock()
					defer mu.Unlock()
					errs = append(errs, err)
					next.Store(int64(x.space))
					return
				}
				done.Add(1)
				if ok {
					found.Store(true)
				}
			}
		})
	}
	wg.Wait()
	c.Guesses, c.Found, c.Ended = int(done.Load()), found.Load(), "every PIN was tried"
	if c.Found {
		c.Ended = "found"
	}
	return errors.Join(errs...)
}

// counted tries one PIN after the other until one opens or SS-CC locks.
func (x *search) counted(ctx context.Context, c *Case, evaluate func(in []byte) ([]byte, error)) error {
	c.Ended = "every PIN was tried"
	for n := range x.space {
		ok, err := x.guess(ctx, n, evaluate)
		switch {
		case errors.Is(err, core.Locked):
			c.Ended = "SS-CC locked the user"
			return nil
		case err != nil:
			return err
		}
		c.Guesses++
		if ok {
			c.Found, c.Ended = true, "found by luck within the limit"
			return nil
		}
	}
	return nil
}
