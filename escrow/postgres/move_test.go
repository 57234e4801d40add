package postgres_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keposs/keposs/client"
	"github.com/keposs/keposs/client/clienttest"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/sscc"
	"github.com/keposs/keposs/escrow/badger"
	"github.com/keposs/keposs/escrow/postgres"
	"github.com/keposs/keposs/escrow/postgres/internal/pgtest"
	"github.com/keposs/keposs/escrow/transfer"
	"github.com/keposs/keposs/internal/testenv"
)

// Badger to PostgreSQL while sixteen clients sign over the network: no sign
// fails, before or after the switch, no counter is lower than what was answered,
// and nobody waits long.
// req: K-6.2-02a, K-6.2-02b
func TestMoveWhileSigning(t *testing.T) {
	testenv.NeedLevel(t, 1)
	const clients, filler, longest = 16, 20_000, 2 * time.Second
	const pace = 260 * time.Millisecond // SS-CC lets a user try 250 times a minute, however long the move takes
	place, err := harness(pgtest.Start(t)).Place()
	if err != nil {
		t.Fatal(err)
	}
	target := postgres.New()
	t.Cleanup(func() { _ = target.Close() })
	if err := target.Configure(t.Context(), place.Config); err != nil {
		t.Fatal(err)
	}
	into, err := transfer.Of(target)
	if err != nil {
		t.Fatal(err)
	}
	source := badger.New()
	if err := source.Configure(t.Context(), core.Config{Values: map[string]string{"dir": t.TempDir()}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = source.Close() })
	fill(t, source, filler)
	live := transfer.NewLive(source)
	e := clienttest.Over(t, live)
	signers := make([]*signer, clients)
	for i := range signers {
		signers[i] = newSigner(t, e)
	}

	var stop atomic.Bool
	var announced atomic.Int64 // Unix nanoseconds
	var anew atomic.Int64      // signs begun after it
	var wg sync.WaitGroup
	for _, s := range signers {
		wg.Go(func() {
			for !stop.Load() {
				begun := time.Now()
				err := s.sign(t.Context())
				took := time.Since(begun)
				if err != nil {
					s.failed++
					t.Errorf("announced %v: %v", announced.Load() != 0, err)
					return
				}
				s.signs++
				s.slowest = max(s.slowest, took)
				if at := announced.Load(); at != 0 && begun.UnixNano() > at {
					s.after++
					anew.Add(1)
				}
				time.Sleep(pace)
			}
		})
	}
	time.Sleep(300 * time.Millisecond)
	r, err := live.Move(t.Context(), into, transfer.Options{Last: sscc.BootKey(), Name: "postgres", Unix: 1}, func() error {
		announced.Store(time.Now().UnixNano())
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	for n := 0; anew.Load() < 2*clients && n < 60; n++ { // a busy machine takes seconds for a sign
		time.Sleep(time.Second)
	}
	stop.Store(true)
	wg.Wait()

	var signs, after, failed int
	var slowest time.Duration
	lowered := 0
	e.As(t, func(tok sscc.Token) error {
		for _, s := range signers {
			signs, after, failed, slowest = signs+s.signs, after+s.after, failed+s.failed, max(slowest, s.slowest)
			st, err := s.m.Status(t.Context(), true)
			if err != nil {
				return err
			}
			if st.Server == nil || st.Server.Tries.Seq < uint32(s.signs) {
				lowered++
			}
		}
		return nil
	})
	t.Logf("%d records moved; %d signs, %d after the switch, %d failed; %d counters lowered; calls held %s, slowest sign %s",
		r.Records, signs, after, failed, lowered, r.Held, slowest)
	if failed > 0 || lowered > 0 || after < clients || r.Held >= longest {
		t.Fail()
	}
}

// fill makes records of other users: something to copy.
func fill(t *testing.T, b core.Backend, n int) {
	t.Helper()
	for at := 0; at < n; {
		var ms []core.Mutation
		for ; at < n && len(ms) < 500; at++ {
			ms = append(ms, core.Mutation{Key: core.Key(fmt.Sprintf("filler %08d", at)), Op: core.OpPut, Hot: make([]byte, 400), Blob: make([]byte, 1600)})
		}
		res, err := b.CommitMany(t.Context(), ms)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range res {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
	}
}

// A signer is a terminal with a user.
type signer struct {
	m                    *client.Client
	signs, after, failed int
	slowest              time.Duration
}

func newSigner(t *testing.T, e *clienttest.Escrow) *signer {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "terminal")
	if _, err := client.Provision(t.Context(), dir, e.Ticket(t)); err != nil {
		t.Fatal(err)
	}
	p := client.DefaultProfile()
	p.SlowFloor = 1024
	pin := client.PrompterFunc(func(context.Context, client.Prompt) (client.Sample, error) {
		return client.NewSample(client.SamplePIN, []byte("271828")), nil
	})
	m, err := client.Open(t.Context(), client.Options{Dir: dir, Prompter: pin, Profile: p, InProcess: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	if _, err := m.Initialize(t.Context(), client.InitRequest{Policy: "pin"}); err != nil {
		t.Fatal(err)
	}
	return &signer{m: m}
}

func (s *signer) sign(ctx context.Context) error {
	_, err := s.m.Sign(ctx, client.SignRequest{Message: []byte("a contract")})
	return err
}
