package faultscmd

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/keposs/keposs/cmd/keposs/internal/lab/faultscmd/replica"
)

// signers sign at once.
const signers = 4

// A scene is SS-CC over one backend with terminals that sign.
type scene struct {
	*replica.Realm
	*replica.Signers
	dir string
}

// staged runs f over a fresh scene.
func staged(ctx context.Context, backend, settings string, f func(*scene) error) (err error) {
	dir, err := os.MkdirTemp("", "keposs-replicas-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s := &scene{dir: dir}
	if s.Realm, err = replica.New(ctx, dir, backend, settings); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Realm.Close()) }()
	if err := s.First().Start(ctx); err != nil {
		return err
	}
	if s.Signers, err = replica.NewSigners(ctx, s.First(), dir, signers); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Signers.Close()) }()
	return f(s)
}

// killed runs a command that a replica carries out, kills the replica anywhere
// in it, while terminals sign, starts it again, runs the command until it is
// done, and counts. fresh prepares another one of it.
func (s *scene) killed(ctx context.Context, r *run, name string, victim *replica.Replica, rounds int, fresh, command func() error) error {
	if err := fresh(); err != nil {
		return err
	}
	begun := time.Now()
	if err := command(); err != nil { // once in peace, for its length
		return err
	}
	took := time.Since(begun)
	for i := range rounds {
		before := s.Signs()
		if err := fresh(); err != nil {
			return err
		}
		within := took
		if i%2 == 0 { // the most is done soon; what follows may be a long wait for other replicas
			within = min(took, 2*time.Second)
		}
		harm := func() error {
			ended := make(chan struct{})
			go func() { defer close(ended); _ = command() }()
			time.Sleep(rand.N(within))
			victim.Kill()
			<-ended
			return victim.Start(ctx)
		}
		if err := s.signing(ctx, harm); err != nil {
			return err
		}
		if err := command(); err != nil {
			return fmt.Errorf("run again after the kill: %w", err)
		}
		if err := s.count(ctx, r, name, before); err != nil {
			return err
		}
	}
	return nil
}

func (s *scene) count(ctx context.Context, r *run, name string, before uint64) error {
	lost, finding, err := s.Check(ctx)
	if err == nil {
		r.add(name, s.Signs()-before, lost, finding)
	}
	return err
}

// signing does harm while terminals sign.
func (s *scene) signing(ctx context.Context, harm func() error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	signed := make(chan error, 1)
	go func() { signed <- s.Run(ctx) }()
	time.Sleep(moment())
	err := harm()
	cancel()
	return errors.Join(err, <-signed)
}

// rotate has a replica draw new record keys and seal every record under them.
func (s *scene) rotate(ctx context.Context, at *replica.Replica) error {
	if _, err := s.Keposs(ctx, at, "admin", "login", "--password-fd", "3"); err != nil {
		return err
	}
	_, err := s.Keposs(ctx, at, "admin", "rotate")
	return err
}

// rotateKill kills the only replica while it rotates, or, over a database that
// others share, the one that rotates while terminals sign at another one.
func (in site) rotateKill(ctx context.Context, r *run, rounds int) error {
	return in(ctx, func(p place) error {
		return staged(ctx, p.backend, p.settings, func(s *scene) error {
			victim := s.First()
			if p.shared {
				other, err := s.Another()
				if err != nil {
					return err
				}
				if err := other.Start(ctx); err != nil {
					return err
				}
				victim = other
			}
			return s.killed(ctx, r, "kill-in-rotate", victim, rounds, func() error { return nil }, func() error { return s.rotate(ctx, victim) })
		})
	})
}

// migrateKill kills the only replica while it moves its records away under
// terminals that sign: out of Badger to a log or a fresh place of a database,
// and back to a new folder of Badger.
func (in site) migrateKill(ctx context.Context, r *run, rounds int) error {
	return in(ctx, func(p place) error {
		return staged(ctx, "badger", "", func(s *scene) error {
			moves, to, settings := 0, "", ""
			fresh := func() error {
				moves++
				if moves%2 == 0 { // back
					to, settings = "badger", fmt.Sprintf("dir = %q\n", filepath.Join(s.dir, fmt.Sprint("moved", moves)))
					if !p.shared {
						return nil
					}
					if err := s.home(ctx, settings); err != nil {
						return err
					}
					moves++
				}
				to, settings = p.fresh(s.dir, moves)
				return nil
			}
			return s.killed(ctx, r, "kill-in-migrate", s.First(), rounds, fresh, func() error { return s.move(ctx, to, settings) })
		})
	})
}

// move has the first replica carry its records over while it serves, unless it
// has; or with it stopped.
func (s *scene) move(ctx context.Context, to, settings string) error {
	if is, err := s.Keposs(ctx, s.First(), "ss-cc", "status", "--json"); err != nil || strings.Contains(is, `"`+to+`"`) {
		return err // moved before the kill
	}
	config := filepath.Join(s.dir, "move.toml")
	if err := os.WriteFile(config, []byte(settings), 0o600); err != nil {
		return err
	}
	_, err := s.Keposs(ctx, s.First(), "ss-cc", "migrate", "--to", to, "--config", config)
	return err
}

// home moves the records out of a database that several may share to Badger,
// for which every SS-CC stands still.
func (s *scene) home(ctx context.Context, settings string) error {
	s.First().Stop()
	if err := s.move(ctx, "badger", settings); err != nil {
		return err
	}
	return s.First().Start(ctx)
}

// restoreKill kills a restore of a snapshot anywhere and runs it again. Users
// are frozen then, until the administrator unlocks them.
func (in site) restoreKill(ctx context.Context, r *run, rounds int) error {
	return in(ctx, func(p place) error {
		return staged(ctx, p.backend, p.settings, func(s *scene) error {
			at, took := s.First(), 2*time.Second
			for i := range rounds {
				before := s.Signs()
				if err := s.signing(ctx, func() error { time.Sleep(moment()); return nil }); err != nil {
					return err
				}
				at.Stop()
				file := filepath.Join(s.dir, fmt.Sprint("snapshot", i))
				if _, err := s.Keposs(ctx, at, "ss-cc", "snapshot", "--out", file); err != nil {
					return err
				}
				if err := p.empty(ctx, at.Folder()); err != nil {
					return err
				}
				short, cancel := context.WithTimeout(ctx, rand.N(took))
				_, _ = s.Keposs(short, at, "ss-cc", "restore", "--in", file)
				cancel()
				begun := time.Now()
				if err := s.restored(ctx, file); err != nil {
					return err
				}
				took = time.Since(begun)
				if err := at.Start(ctx); err != nil {
					return err
				}
				if err := s.Unlock(ctx); err != nil {
					return err
				}
				if err := s.count(ctx, r, "kill-in-restore", before); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// restored ends a restore. Files of a killed one may be held for a moment; one
// that had ended is State, since there is an SS-CC now.
func (s *scene) restored(ctx context.Context, file string) (err error) {
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		_, err = s.Keposs(ctx, s.First(), "ss-cc", "restore", "--in", file)
		var status *exec.ExitError
		if err == nil || errors.As(err, &status) && status.ExitCode() == 5 {
			return nil
		}
	}
	return err
}
