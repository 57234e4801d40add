package mstcc_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/internal/testenv"
)

// A lifeCase is one service of the life cycle, to be stopped at every point.
type lifeCase struct {
	name, policy string
	run          func(t *testing.T, m *mstcc.Module, fresh ppd) error
	open         []string // a set that opens before and after
	same         bool     // the factors do not change: one person opens before and after
	points       int      // named points at least
}

func lifeCases(t *testing.T) []lifeCase {
	raised := core.NewParams("cheap-test", core.Param{Key: "i", N: 4096})
	change := func(req mstcc.ChangeRequest) func(*testing.T, *mstcc.Module, ppd) error {
		return func(_ *testing.T, m *mstcc.Module, fresh ppd) error {
			_, err := m.Change(ctx, req, mstcc.OpenOptions{Factors: []string{"pin", "face"}}, &person{enter: alice, enrol: fresh})
			return err
		}
	}
	wide := "pin & (face | fingerprint)"
	with := []string{"pin", "face"}
	return []lifeCase{
		{name: "change", policy: wide, run: change(mstcc.ChangeRequest{Replace: []string{"pin"}}), open: with, points: 6},
		{name: "add", policy: wide, run: change(mstcc.ChangeRequest{Tree: parse(t, "pin & (face | fingerprint | gesture)")}), open: with, same: true, points: 6},
		{name: "raise", policy: wide, run: change(mstcc.ChangeRequest{KDF: &raised}), open: with, same: true, points: 6},
		{name: "recovery", policy: "pin & gesture", open: []string{"pin", "gesture"}, same: true, points: 6,
			run: func(t *testing.T, m *mstcc.Module, _ ppd) error {
				n, _ := sheet(t)
				_, err := m.AddRecovery(ctx, n, mstcc.OpenOptions{}, &person{enter: alice})
				return err
			}},
		{name: "revoke", policy: wide, open: with, points: 9, run: revoke},
		{name: "revoke direct", policy: "pin & face", open: with, points: 9, run: revoke},
	}
}

func revoke(t *testing.T, m *mstcc.Module, fresh ppd) error {
	n, _ := sheet(t)
	_, err := m.Revoke(ctx, mstcc.RevokeRequest{Sheet: &n}, mstcc.OpenOptions{Factors: []string{"pin", "face"}}, &person{enter: alice, enrol: fresh})
	return err
}

// stopAt runs do and ends it at the named point as a kill would.
func stopAt(t *testing.T, x *terminal, point string, do func()) {
	t.Helper()
	x.hook = func(p string) {
		if p == point {
			panic(point)
		}
	}
	defer func() {
		x.hook = nil
		if got := recover(); got != point {
			t.Fatalf("stopped at %v, want %s", got, point)
		}
	}()
	do()
}

// pointsOf lists the points one run passes.
func pointsOf(x *terminal, do func()) map[string]bool {
	points := map[string]bool{}
	x.hook = func(p string) { points[p] = true }
	do()
	x.hook = nil
	return points
}

// Stopped at every named point of every change, after a restart exactly one of
// old and new opens, the terminal and SS-CC agree, a next change works, and the
// disk never held a policy or sealed keys (attack tests 21, 35).
// req: K-17.1-D1
func TestStopAtEveryPointOfALife(t *testing.T) {
	for _, c := range lifeCases(t) {
		for _, mode := range modes {
			if testenv.Level() == 0 && (mode == protocol.ModePlain) != c.same {
				continue
			}
			fresh := alice
			if !c.same {
				fresh = alice.but("pin", "600613")
			}
			x, m := started(t, c.policy, mode)
			points := pointsOf(x, func() {
				if err := c.run(t, m, fresh); err != nil {
					t.Fatalf("%s, %s: %v", c.name, mode, err)
				}
			})
			if len(points) < c.points {
				t.Fatalf("%s: only %d points: %v", c.name, len(points), points)
			}
			for point := range points {
				t.Run(strings.Join([]string{c.name, mode.String(), point}, "/"), func(t *testing.T) {
					t.Parallel()
					x, m := started(t, c.policy, mode)
					old := *x.srv.rec
					stopAt(t, x, point, func() { _ = c.run(t, m, fresh) })
					searchDisk(t, x, old.policy, old.sealed)
					if x.srv.prep != nil {
						searchDisk(t, x, x.srv.prep.Policy, x.srv.prep.Sealed, x.srv.prep.OPRFKey)
					}
					searchDisk(t, x, x.srv.rec.policy, x.srv.rec.sealed, x.srv.rec.oprf)
					m = x.open()
					now := exactlyOne(t, m, fresh, c)
					if st, err := m.Status(ctx, true); err != nil || st.Epoch != x.srv.rec.gen || st.ServerErr != nil {
						t.Errorf("status %+v, %v; SS-CC has generation %d", st, err, x.srv.rec.gen)
					}
					keysLeft(t, x)
					if c.name == "recovery" {
						return // a second code would be a revoke
					}
					if err := c.run(t, m, now.but("pin", alice["pin"])); err != nil && now["pin"] == alice["pin"] {
						t.Errorf("the same again: %v", err)
					}
				})
			}
		}
	}
}

// exactlyOne fails unless exactly one of the old and the new factors opens, and
// returns those that do.
func exactlyOne(t *testing.T, m *mstcc.Module, fresh ppd, c lifeCase) ppd {
	t.Helper()
	oldErr := opensWith(m, alice, c.open...)
	newErr := opensWith(m, fresh, c.open...)
	switch {
	case c.same && oldErr == nil && newErr == nil:
		return alice
	case !c.same && oldErr == nil && errors.Is(newErr, core.Auth):
		return alice
	case !c.same && newErr == nil && errors.Is(oldErr, core.Auth):
		return fresh
	}
	t.Errorf("old: %v; new: %v; want exactly one to open", oldErr, newErr)
	return alice
}

// keysLeft fails if the key store holds more than one generation's keys once
// nothing is pending.
func keysLeft(t *testing.T, x *terminal) {
	t.Helper()
	entries, err := os.ReadDir(x.dir + "-keys")
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(filepath.Join(x.dir, "journal"))
	if err == nil {
		t.Errorf("the journal (%d bytes) is still there", st.Size())
	}
	if m := x.open(); m != nil {
		s, _ := m.Status(ctx, false)
		if s.Pending {
			return // a staged generation that was never committed keeps its keys until the next change
		}
	}
	if len(entries) != 2 {
		t.Errorf("%d files in the key store, want device key and device secret: %v", len(entries), entries)
	}
}

// Stopped at every point of a recovery, the same command completes it, and the
// person's old or new factors open, never both.
func TestStopAtEveryPointOfRecover(t *testing.T) {
	for _, mode := range modes {
		if testenv.Level() == 0 && mode == protocol.ModePlain {
			continue
		}
		prepared := func(t *testing.T) (x, y *terminal, run func(who ppd) error) {
			x, m := started(t, "pin & (face | fingerprint)", mode)
			n, kept := sheet(t)
			if _, err := m.AddRecovery(ctx, n, mstcc.OpenOptions{}, &person{enter: alice}); err != nil {
				t.Fatal(err)
			}
			y = x.second()
			y.prof.Mode = mode
			return x, y, func(fresh ppd) error {
				r := y.open()
				if r.State() == mstcc.User {
					return nil // completed before the stop
				}
				_, err := r.Recover(ctx, mstcc.RecoverRequest{Sheet: *kept}, mstcc.OpenOptions{}, &person{enter: alice, enrol: fresh})
				return err
			}
		}
		first, second := alice.but("pin", "111111"), alice.but("pin", "222222")
		_, y, run := prepared(t)
		points := pointsOf(y, func() {
			if err := run(first); err != nil {
				t.Fatal(err)
			}
		})
		if len(points) < 9 {
			t.Fatalf("only %d points: %v", len(points), points)
		}
		for point := range points {
			t.Run(mode.String()+"/"+point, func(t *testing.T) {
				t.Parallel()
				x, y, run := prepared(t)
				stopAt(t, y, point, func() { _ = run(first) })
				for _, z := range []*terminal{x, y} {
					searchDisk(t, z, x.srv.rec.policy, x.srv.rec.sealed, x.srv.rec.oprf)
					if x.srv.prep != nil {
						searchDisk(t, z, x.srv.prep.Policy, x.srv.prep.Sealed, x.srv.prep.OPRFKey)
					}
				}
				if err := run(second); err != nil {
					t.Fatal(err)
				}
				r := y.open()
				one, two := opensWith(r, first, "pin", "face"), opensWith(r, second, "pin", "face")
				if (one == nil) == (two == nil) {
					t.Errorf("first %v, second %v: want exactly one to open", one, two)
				}
				keysLeft(t, y)
			})
		}
	}
}

// A reply of SS-CC that is lost, at Prepare or at Commit, changes nothing: the
// same request is repeated, or the next service completes it.
// req: TK-03
func TestLifeWithLostReplies(t *testing.T) {
	lost := core.Errorf(core.Indeterminate, "test", "reply lost")
	// Once is repeated in place; so often is given up, and the next open settles
	// it. An applied Commit is repeated under the new device key.
	for call, often := range map[string]int{"prepare": 3, "commit": 4} {
		for _, n := range []int{1, often} {
			x, m := started(t, "pin & (face | fingerprint)", protocol.ModeHardened)
			for range n {
				x.srv.after[call] = append(x.srv.after[call], lost)
			}
			fresh := alice.but("pin", "600613")
			err := revoke(t, m, fresh)
			if (err == nil) != (n == 1) {
				t.Errorf("%s lost %d times: %v", call, n, err)
			}
			_ = m.Close()
			exactlyOne(t, x.open(), fresh, lifeCase{open: []string{"pin", "face"}})
		}
	}
}
