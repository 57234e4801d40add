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
	"github.com/keposs/keposs/internal/etcdserver"
	"github.com/keposs/keposs/internal/pgserver"
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
func (s *scene) killed(ctx context.Context, r *run, name string, victim *replica.Replica, rounds int, fresh func(), command func() error) error {
	fresh()
	begun := time.Now()
	if err := command(); err != nil { // once in peace, for its length
		return err
	}
	took := time.Since(begun)
	for i := range rounds {
		before := s.Signs()
		fresh()
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

// rotateKill kills the only replica while it rotates.
func rotateKill(ctx context.Context, r *run, rounds int) error {
	return staged(ctx, "badger", "", func(s *scene) error {
		return s.killed(ctx, r, "kill-in-rotate", s.First(), rounds, func() {}, func() error { return s.rotate(ctx, s.First()) })
	})
}

// peerKill kills the replica that rotates while terminals sign at another one.
func peerKill(ctx context.Context, r *run, backend, settings string, rounds int) error {
	return staged(ctx, backend, settings, func(s *scene) error {
		other, err := s.Another()
		if err != nil {
			return err
		}
		if err := other.Start(ctx); err != nil {
			return err
		}
		return s.killed(ctx, r, "kill-in-rotate", other, rounds, func() {}, func() error { return s.rotate(ctx, other) })
	})
}

func postgresPeerKill(ctx context.Context, r *run, rounds int) error {
	c, err := pgserver.Start(ctx, 0)
	if err != nil {
		return err
	}
	defer c.Stop()
	dir, err := os.MkdirTemp("", "keposs-replicas-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	dsn := filepath.Join(dir, "dsn")
	if err := os.WriteFile(dsn, []byte(c.DSN()+"\n"), 0o600); err != nil {
		return err
	}
	return peerKill(ctx, r, "postgres", fmt.Sprintf("dsn_file = %q\n", dsn), rounds)
}

func etcdPeerKill(ctx context.Context, r *run, rounds int) error {
	c, err := etcdserver.Start(ctx, 3)
	if err != nil {
		return err
	}
	defer c.Stop()
	return peerKill(ctx, r, "etcd", fmt.Sprintf("endpoints = %q\n", strings.Join(c.Endpoints(), ",")), rounds)
}

// migrateKill kills the only replica while it moves its records away under
// terminals that sign: to a log and to a new folder of Badger in turn.
func migrateKill(ctx context.Context, r *run, rounds int) error {
	return staged(ctx, "badger", "", func(s *scene) error {
		moves, to, place := 0, "badger", "dir"
		fresh := func() {
			if moves++; moves%2 == 1 {
				to, place = "memory", "path"
			} else {
				to, place = "badger", "dir"
			}
		}
		config := filepath.Join(s.dir, "move.toml")
		move := func() error {
			if is, err := s.Keposs(ctx, s.First(), "ss-cc", "status", "--json"); err != nil || strings.Contains(is, `"`+to+`"`) {
				return err // moved before the kill
			}
			text := fmt.Sprintf("%s = %q\n", place, filepath.Join(s.dir, fmt.Sprint("moved", moves)))
			if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
				return err
			}
			_, err := s.Keposs(ctx, s.First(), "ss-cc", "migrate", "--to", to, "--config", config)
			return err
		}
		return s.killed(ctx, r, "kill-in-migrate", s.First(), rounds, fresh, move)
	})
}

// restoreKill kills a restore of a snapshot anywhere and runs it again. Users
// are frozen then, until the administrator unlocks them.
func restoreKill(ctx context.Context, r *run, rounds int) error {
	return staged(ctx, "badger", "", func(s *scene) error {
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
			if err := os.RemoveAll(filepath.Join(at.Folder(), "db")); err != nil {
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
