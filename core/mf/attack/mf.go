package attack

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mf"
	"github.com/keposs/keposs/core/policy"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

// Whether the attacker has the terminal's disk.
const (
	holderKnown   = true
	holderUnknown = false
)

// victim enrols a plain-mode user under a policy.
type victim struct {
	kdf     *counter
	tree    *policy.Tree
	values  map[string]int
	device  *secret.Buffer
	sealed  *mf.Sealed
	checked *mf.Checked
	fast    int64
}

func newVictim(ctx context.Context, rand io.Reader, text string) (*victim, error) {
	v := &victim{kdf: &counter{}}
	var err error
	if v.tree, err = policy.Parse(text); err != nil {
		return nil, err
	}
	if v.values, err = pick(rand, v.tree.Labels()); err != nil {
		return nil, err
	}
	if v.device, err = secret.Read(rand, mf.DeviceSecret); err != nil {
		return nil, err
	}
	key, err := sm.GenerateKey(rand)
	if err != nil {
		return nil, err
	}
	defer key.Wipe()
	x := mf.Params{Root: mf.RootWrapped, KDF: core.NewParams("counted"), Mode: protocol.ModePlain, Realm: protocol.ID{1}, App: protocol.ID{2},
		Tree: v.tree, Device: mf.DeviceHolder{Secret: v.device, Key: key.Public(), Slot: "device"}}
	for _, l := range v.tree.Labels() {
		x.Factors = append(x.Factors, mf.FactorSpec{Label: l, Kind: core.KindKnowledge})
	}
	e, err := mf.NewEnrolment(x, rand)
	if err != nil {
		return nil, err
	}
	defer e.Wipe()
	for _, l := range v.tree.Labels() {
		s := secret.Own(guess(l, v.values[l]))
		err := e.SetFactor(l, core.Enrollment{Secret: s, Format: 1})
		s.Wipe()
		if err != nil {
			return nil, err
		}
	}
	b, err := mf.NewBundle(rand)
	if err != nil {
		return nil, err
	}
	defer b.Wipe()
	if v.sealed, err = e.Seal(ctx, v.kdf, b); err != nil {
		return nil, err
	}
	v.sealed.Wipe()
	v.checked, err = mf.Check(v.sealed.Policy, mf.Expect{Slots: []*mf.Slot{&v.sealed.Slot}, App: x.App, KDFs: []string{"counted"}})
	v.kdf.calls.Store(0)
	return v, err
}

// try tests one complete guess, as an attacker with the policy would: the
// stages up to the mac are all there is to test with.
func (v *victim) try(ctx context.Context, device *secret.Buffer, set []string, at map[string]int) (bool, error) {
	o, err := mf.NewOpener(v.checked, "device", device)
	if err != nil {
		return false, err
	}
	defer o.Wipe()
	if _, err := o.Choose(set); err != nil {
		return false, err
	}
	for _, l := range set {
		s := secret.Own(guess(l, at[l]))
		err := o.SetFactor(l, s)
		s.Wipe()
		if err != nil {
			return false, err
		}
		v.fast++
	}
	if err := o.Stretch(ctx, v.kdf); err != nil {
		return false, err
	}
	v.fast++
	opened, err := o.Finish(nil)
	if errors.Is(err, core.Auth) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	opened.Wipe()
	return true, nil
}

// searchMF tries every value of the cheapest set. Factor secrets could be
// tabulated; it would save fast operations only, because every set's input
// goes through the slow call as a whole and under its own salt.
func searchMF(ctx context.Context, rand io.Reader, text string, disk bool) (Case, error) {
	v, err := newVictim(ctx, rand, text)
	if err != nil {
		return Case{}, err
	}
	set := cheapest(v.tree)
	c := Case{Policy: v.tree.String(), Design: DesignMF, Attacker: "S+D", Candidates: size(set)}
	device := v.device
	if !disk {
		// S alone must guess the anchor's holder as well: one draw of 2^256.
		c.Attacker = "S"
		if device, err = secret.Read(rand, mf.DeviceSecret); err != nil {
			return Case{}, err
		}
	}
	hits := 0
	err = each(set, func(at map[string]int) error {
		ok, err := v.try(ctx, device, set, at)
		if ok {
			hits++
		}
		return err
	})
	c.SlowCalls, c.FastOps, c.Found = v.kdf.calls.Load(), v.fast, hits == 1
	c.Words = fmt.Sprintf("every value of %v, the cheapest set, tried whole: one slow call each", set)
	if !disk {
		c.Words = "without the terminal's anchor every value fails: SS-CC tests nothing"
	}
	return c, err
}

// collideMF tries the attack that fells Shamir's 1-of-n: tables of both sets,
// joined where they agree. Here every entry of a table is a slow call, and
// one set's search is the cheaper attack anyway.
func collideMF(ctx context.Context, rand io.Reader) (Case, error) {
	v, err := newVictim(ctx, rand, "gesture | pin")
	if err != nil {
		return Case{}, err
	}
	found := 0
	var n int64
	for _, set := range v.tree.MinimalSets() {
		n += size(set)
		err := each(set, func(at map[string]int) error {
			ok, err := v.try(ctx, v.device, set, at)
			if ok {
				found++
			}
			return err
		})
		if err != nil {
			return Case{}, err
		}
	}
	return Case{Policy: v.tree.String(), Design: DesignMF, Attacker: "S+D", Candidates: n, SlowCalls: v.kdf.calls.Load(), FastOps: v.fast,
		Found: found == 2, Words: "tables of both ways joined where they agree: every entry is a slow call"}, nil
}
