package client

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/keposs/keposs/client/clienttest"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
)

// BenchmarkSourcesReady is the time until the sources of a policy answer, with
// no process running before: PIN alone, and PIN and gesture side by side.
func BenchmarkSourcesReady(b *testing.B) {
	for name, sources := range map[string][]string{"one": {"pin"}, "both": {"pin", "gesture"}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				h, err := openHost(Options{})
				if err != nil {
					b.Fatal(err)
				}
				errs := make(chan error, len(sources))
				for _, s := range sources {
					go func() {
						_, _, err := h.source(b.Context(), s)
						errs <- err
					}()
				}
				for range sources {
					if err := <-errs; err != nil {
						b.Fatal(err)
					}
				}
				b.StopTimer()
				_ = h.close()
				b.StartTimer()
			}
		})
	}
}

// BenchmarkWarmSign is a whole signature, plugins running and session open. It
// reports what is left of it when the times of KDF, Recover and SS-CC's answers
// are taken away: own-ms/op.
func BenchmarkWarmSign(b *testing.B) {
	for name, inProcess := range map[string]bool{"processes": false, "in-process": true} {
		b.Run(name, func(b *testing.B) { warmSign(b, inProcess) })
	}
}

func warmSign(b *testing.B, inProcess bool) {
	e := clienttest.New(b)
	dir := provisioned(b, e)
	f, err := openFolder(dir)
	if err != nil {
		b.Fatal(err)
	}
	c := &Client{folder: f, prompt: right}
	defer c.Close()
	cfg, err := c.config(Options{Profile: cheapProfile(), InProcess: inProcess})
	if err != nil {
		b.Fatal(err)
	}
	var t taken
	t.wrap(&cfg)
	if c.module, err = mstcc.Open(b.Context(), cfg); err != nil {
		b.Fatal(err)
	}
	if _, err := c.Initialize(b.Context(), InitRequest{}); err != nil {
		b.Fatal(err)
	}
	r := SignRequest{Message: []byte("m")}
	if _, err := c.Sign(b.Context(), r); err != nil {
		b.Fatal(err)
	}
	var own time.Duration
	n := 0
	for b.Loop() {
		t.reset()
		start := time.Now()
		if _, err := c.Sign(b.Context(), r); err != nil {
			b.Fatal(err)
		}
		end := time.Now()
		own += end.Sub(start) - t.between(start, end)
		n++
		b.StopTimer() // the Confirm of this one is the next one's warm-up
		if _, err := c.Status(b.Context(), false); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(own.Microseconds())/1000/float64(n), "own-ms/op")
}

// taken records when somebody else was at work. Times that overlap count once.
type taken struct {
	mu   sync.Mutex
	list [][2]time.Time
}

func (t *taken) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.list = nil
}

// done is called at the end of what began at start.
func (t *taken) done(start time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.list = append(t.list, [2]time.Time{start, time.Now()})
}

// between is the time others worked within the interval.
func (t *taken) between(from, to time.Time) (sum time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	slices.SortFunc(t.list, func(a, b [2]time.Time) int { return a[0].Compare(b[0]) })
	at := from
	for _, v := range t.list {
		start, end := v[0], v[1]
		if start.Before(at) {
			start = at
		}
		if end.After(to) {
			end = to
		}
		if end.After(start) {
			sum += end.Sub(start)
			at = end
		}
	}
	return sum
}

func (t *taken) wrap(cfg *mstcc.Config) {
	source, kdf, dial := cfg.Source, cfg.KDF, cfg.Dial
	cfg.Source = func(ctx context.Context, name string) (core.Source, bool, error) {
		s, ok, err := source(ctx, name)
		return timedSource{s, t}, ok, err
	}
	cfg.KDF = func(ctx context.Context, name string) (core.KDF, bool, error) {
		k, ok, err := kdf(ctx, name)
		return timedKDF{k, t}, ok, err
	}
	cfg.Dial = func(ctx context.Context) (mstcc.Escrow, error) {
		conn, err := dial(ctx)
		return timedEscrow{conn, t}, err
	}
}

type timedSource struct {
	core.Source
	t *taken
}

func (s timedSource) Capture(ctx context.Context, r core.CaptureRequest, p core.Prompter) (core.Capture, error) {
	c, err := s.Source.Capture(ctx, r, p)
	return timedCapture{c, s.t}, err
}

type timedCapture struct {
	core.Capture
	t *taken
}

func (c timedCapture) Recover(ctx context.Context, r core.RecoverRequest) (*secret.Buffer, error) {
	defer c.t.done(time.Now())
	return c.Capture.Recover(ctx, r)
}

type timedKDF struct {
	core.KDF
	t *taken
}

func (k timedKDF) Derive(ctx context.Context, p core.Params, secret, salt, out []byte) error {
	defer k.t.done(time.Now())
	return k.KDF.Derive(ctx, p, secret, salt, out)
}

// timedEscrow takes away what a signature waits for: the policy and the keys.
type timedEscrow struct {
	mstcc.Escrow
	t *taken
}

func (e timedEscrow) Policy(ctx context.Context, r protocol.PolicyRequest) (protocol.PolicyAnswer, error) {
	defer e.t.done(time.Now())
	return e.Escrow.Policy(ctx, r)
}

func (e timedEscrow) Fetch(ctx context.Context, r protocol.FetchRequest) (protocol.FetchAnswer, error) {
	defer e.t.done(time.Now())
	return e.Escrow.Fetch(ctx, r)
}
