package replica

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keposs/keposs/client"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/sscc"
	"github.com/keposs/keposs/escrow/api"
)

// pin of every user; what is measured is no secret of anybody.
const pin = "271828"

// Signers are terminals, each with a user, that sign at one replica.
type Signers struct {
	at    *Replica
	app   client.ID
	all   []*signer
	signs atomic.Uint64
}

type signer struct {
	m    *client.Client
	user client.ID
	done uint32 // signs, each of which was a counted try
}

// NewSigners makes n terminals below dir that know the replica.
func NewSigners(ctx context.Context, at *Replica, dir string, n int) (s *Signers, err error) {
	s = &Signers{at: at}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	err = at.As(ctx, func(a *api.Admin) error {
		if s.app, err = a.CreateApp(ctx, sscc.AppRequest{Name: "faults"}); err != nil {
			return err
		}
		for i := range n {
			if err := s.add(ctx, a, filepath.Join(dir, fmt.Sprint("terminal", i))); err != nil {
				return err
			}
		}
		return nil
	})
	return s, err
}

func (s *Signers) add(ctx context.Context, a *api.Admin, dir string) error {
	ca, err := s.at.authority()
	if err != nil {
		return err
	}
	t, err := a.NewTicket(ctx, s.app)
	if err != nil {
		return err
	}
	defer t.Key.Wipe()
	t.Endpoint, t.CA = s.at.addr, ca
	ticket := t.Marshal()
	defer ticket.Wipe()
	if _, err := client.Provision(ctx, dir, ticket.Bytes()); err != nil {
		return err
	}
	profile := client.DefaultProfile()
	profile.SlowFloor = 1024 // the KDF is not what is measured
	answer := client.PrompterFunc(func(context.Context, client.Prompt) (client.Sample, error) {
		return client.NewSample(client.SamplePIN, []byte(pin)), nil
	})
	m, err := client.Open(ctx, client.Options{Dir: dir, Prompter: answer, Profile: profile, InProcess: true})
	if err != nil {
		return err
	}
	x := &signer{m: m}
	s.all = append(s.all, x)
	u, err := m.Initialize(ctx, client.InitRequest{Policy: "pin"})
	x.user = u.ID
	return err
}

// Signs is how many signatures were made.
func (s *Signers) Signs() uint64 { return s.signs.Load() }

// Run has every terminal sign until ctx ends. A sign that fails because SS-CC
// cannot be reached, or asks to wait, is tried again; any other failure is an
// error.
func (s *Signers) Run(ctx context.Context) error {
	errs := make([]error, len(s.all))
	var wg sync.WaitGroup
	for i, x := range s.all {
		wg.Go(func() {
			for ctx.Err() == nil && errs[i] == nil {
				errs[i] = s.sign(ctx, x)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (s *Signers) sign(ctx context.Context, x *signer) error {
	_, err := x.m.Sign(ctx, client.SignRequest{Message: []byte("a contract")})
	if err == nil {
		x.done++
		s.signs.Add(1)
		return nil
	}
	switch core.CodeOf(err) {
	case core.Unavailable, core.Indeterminate, core.Throttled, core.Timeout, core.Canceled:
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
		return nil
	}
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("a terminal cannot sign: %w", err)
}

// Unlock gives every user tries again, as the administrator does after a restore.
func (s *Signers) Unlock(ctx context.Context) error {
	return s.at.As(ctx, func(a *api.Admin) error {
		var errs []error
		for _, x := range s.all {
			errs = append(errs, a.UnlockUser(ctx, s.app, x.user))
		}
		return errors.Join(errs...)
	})
}

// Check compares every user's counter with the signs that were made, and has
// each terminal sign once more. lost is how many users are told of fewer tries
// than they made, or have no key.
func (s *Signers) Check(ctx context.Context) (lost int, finding, err error) {
	for i, x := range s.all {
		st, err := x.m.Status(ctx, true)
		if err != nil {
			return lost, finding, err
		}
		if st.Server == nil {
			return lost, finding, fmt.Errorf("terminal %d: SS-CC does not answer: %w", i, st.ServerErr)
		}
		why := error(nil)
		if st.Server.Tries.Seq < x.done {
			why = fmt.Errorf("%d tries are counted, %d signs were made", st.Server.Tries.Seq, x.done)
		}
		before := x.done
		for end := time.Now().Add(90 * time.Second); why == nil && x.done == before; {
			if why = s.sign(ctx, x); ctx.Err() != nil {
				return lost, finding, ctx.Err()
			}
			if why == nil && x.done == before && time.Now().After(end) {
				return lost, finding, fmt.Errorf("terminal %d does not come to sign within 90 s", i)
			}
		}
		if why != nil {
			lost++
			finding = errors.Join(finding, fmt.Errorf("user %d: %w", i, why))
		}
	}
	return lost, finding, nil
}

// Close closes the terminals.
func (s *Signers) Close() error {
	var errs []error
	for _, x := range s.all {
		errs = append(errs, x.m.Close())
	}
	return errors.Join(errs...)
}
