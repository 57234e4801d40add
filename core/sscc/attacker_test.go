package sscc_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/policy"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sscc"
)

// answers counts what SS-CC gave out: one answer is one guess tested.
type answers struct {
	*wire
	given *atomic.Int64
}

func (a answers) Fetch(ctx context.Context, r protocol.FetchRequest) (protocol.FetchAnswer, error) {
	out, err := a.wire.Fetch(ctx, r)
	if err == nil {
		a.given.Add(1)
	}
	return out, err
}

func (a answers) Evaluate(ctx context.Context, r protocol.EvaluateRequest) (protocol.EvaluateAnswer, error) {
	out, err := a.wire.Evaluate(ctx, r)
	if err == nil && !r.WantProof { // a proof is the same answer again
		a.given.Add(1)
	}
	return out, err
}

// stolen is a terminal in an attacker's hands: its folder, its key store, its
// module, and the clock of everything.
type stolen struct {
	*realm
	p     *phone
	cfg   mstcc.Config
	given atomic.Int64
	user  protocol.ID
	copy  string // the folder as it was stolen
}

func steal(t *testing.T, mode protocol.Mode) *stolen {
	t.Helper()
	r := newRealm(t)
	s := &stolen{realm: r, p: r.phone(r.app(sscc.AppRequest{}))}
	m, _ := s.p.terminal(mode, func(c *mstcc.Config) {
		dial := c.Dial
		c.Dial = func(ctx context.Context) (mstcc.Escrow, error) {
			e, err := dial(ctx)
			if err != nil {
				return nil, err
			}
			return answers{e.(*wire), &s.given}, nil
		}
		c.Clock = r.clock.now
		s.cfg = *c
	})
	tree, err := policy.Parse("pin")
	r.must(err)
	res, err := m.Initialize(bg, mstcc.InitRequest{Tree: tree, KDF: core.NewParams("cheap-test", core.Param{Key: "i", N: 1024})}, types("right"))
	r.must(err)
	s.user = res.User
	r.must(m.Close())
	s.copy = filepath.Join(t.TempDir(), "copy")
	r.must(os.CopyFS(s.copy, os.DirFS(s.cfg.Dir)))
	return s
}

// guess opens the module over a folder and tries one PIN.
func (s *stolen) guess(dir, pin string) error {
	cfg := s.cfg
	cfg.Dir = dir
	m, err := mstcc.Open(bg, cfg)
	if err != nil {
		return err
	}
	defer m.Close()
	_, _, err = m.Sign(bg, []byte("m"), nil, mstcc.OpenOptions{}, types(pin))
	return err
}

// again makes a folder as it was stolen: nothing of the guesses so far is in it.
func (s *stolen) again() string {
	dir := filepath.Join(s.t.TempDir(), "user")
	s.must(os.CopyFS(dir, os.DirFS(s.copy)))
	s.must(filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		mode := os.FileMode(0o600)
		if e.IsDir() {
			mode = 0o700
		}
		return os.Chmod(path, mode)
	}))
	return dir
}

// However it is done, an attacker with the terminal in hand tests exactly as
// many guesses as are permitted, and the right PIN is of no use afterwards. In
// hardened mode this holds for the bare device key too.
// req: TK-10, G-7.4-05, X-14, X-15, K-7.2-D3, K-15.4-L2b, K-5.3-02a
func TestOnlineAttacker(t *testing.T) {
	const limit, guesses = 5, 12
	ways := map[string]func(s *stolen){
		"one after another": func(s *stolen) {
			m, err := mstcc.Open(bg, s.cfg)
			s.must(err)
			defer m.Close()
			for range guesses {
				_, _, _ = m.Sign(bg, []byte("m"), nil, mstcc.OpenOptions{}, types("wrong"))
			}
		},
		"restarting": func(s *stolen) {
			for range guesses {
				_ = s.guess(s.cfg.Dir, "wrong")
			}
		},
		"with a fresh copy each time": func(s *stolen) {
			for range guesses {
				_ = s.guess(s.again(), "wrong")
			}
		},
		"without the counter": func(s *stolen) {
			for range guesses {
				dir := s.again()
				s.must(os.Remove(filepath.Join(dir, "tries")))
				_ = s.guess(dir, "wrong")
			}
		},
		"in parallel": func(s *stolen) {
			var wg sync.WaitGroup
			for range guesses {
				dir := s.again()
				wg.Go(func() { _ = s.guess(dir, "wrong") })
			}
			wg.Wait()
		},
		"moving the clock": func(s *stolen) {
			for i := range guesses {
				s.clock.move([]time.Duration{365 * 24 * time.Hour, -730 * 24 * time.Hour}[i%2])
				_ = s.guess(s.again(), "wrong")
			}
			s.clock.move(365 * 24 * time.Hour)
		},
		"installing anew": func(s *stolen) {
			for range guesses {
				_ = s.guess(filepath.Join(s.t.TempDir(), "user"), "wrong") // knows no user: not even a guess
			}
			for range guesses {
				_ = s.guess(s.again(), "wrong")
			}
		},
	}
	for _, mode := range []protocol.Mode{protocol.ModePlain, protocol.ModeHardened} {
		for name, run := range ways {
			t.Run(mode.String()+"/"+name, func(t *testing.T) {
				t.Parallel()
				s := steal(t, mode)
				run(s)
				want := int64(limit)
				if name == "without the counter" {
					want = 0 // a folder without it is not opened
				}
				if n := s.given.Load(); n != want {
					t.Errorf("%d guesses were tested, %d are permitted", n, want)
				}
				err := s.guess(s.again(), "right")
				if name == "without the counter" {
					s.must(err)
					return
				}
				if core.CodeOf(err) != core.Locked {
					t.Errorf("the right PIN afterwards: %v, want locked", err)
				}
			})
		}
	}
	t.Run("hardened/with the bare device key", func(t *testing.T) {
		t.Parallel()
		s := steal(t, protocol.ModeHardened)
		given := 0
		for range guesses {
			if _, err := s.Evaluate(bg, s.p.peer, protocol.EvaluateRequest{User: s.user, Gen: 1, Attempt: newID(), Blinded: point(newKey(t))}); err == nil {
				given++
			}
		}
		if given != limit {
			t.Errorf("%d evaluations, %d are permitted", given, limit)
		}
		if err := s.guess(s.cfg.Dir, "right"); core.CodeOf(err) != core.Locked {
			t.Errorf("the right PIN afterwards: %v, want locked", err)
		}
	})
}
