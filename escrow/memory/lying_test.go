package memory_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/memory"
)

// envLie names the lie the engine of this process tells; "" = none.
const envLie = "KEPOSS_TEST_LYING"

// lies are engines whose compare-and-set or reads do not say what is so.
var lies = map[string]func(core.Backend) core.Backend{
	"honest":                   func(b core.Backend) core.Backend { return &liar{Backend: b} },
	"yes to every comparison":  func(b core.Backend) core.Backend { return &liar{Backend: b, yes: true} },
	"acknowledged, not kept":   func(b core.Backend) core.Backend { return &liar{Backend: b, drop: true} },
	"applied, called conflict": func(b core.Backend) core.Backend { return &liar{Backend: b, conflict: true} },
	"reads of long ago":        func(b core.Backend) core.Backend { return &liar{Backend: b, stale: true} },
}

// A liar lies at every third opportunity, from the tenth on: enough of a start
// for the engine to look alright.
type liar struct {
	core.Backend
	yes, drop, conflict, stale bool

	n   atomic.Int64
	mu  sync.Mutex
	old map[string]core.Record
}

func (l *liar) due() bool {
	n := l.n.Add(1)
	return n > 10 && n%3 == 0
}

func (l *liar) CommitMany(ctx context.Context, ms []core.Mutation) ([]core.Result, error) {
	if l.drop && l.due() {
		out := make([]core.Result, len(ms))
		for i, m := range ms {
			out[i].Version = m.Expect + 1
		}
		return out, nil
	}
	r, err := l.Backend.CommitMany(ctx, ms)
	for i := range r {
		switch {
		case l.yes && core.CodeOf(r[i].Err) == core.Conflict:
			r[i] = core.Result{Version: ms[i].Expect + 1}
		case l.conflict && r[i].Err == nil && l.due():
			r[i] = core.Result{Err: core.Errorf(core.Conflict, "liar", "another version")}
		}
	}
	return r, err
}

func (l *liar) GetMany(ctx context.Context, keys []core.Key, o core.ReadOpts) ([]core.Record, error) {
	r, err := l.Backend.GetMany(ctx, keys, o)
	if !l.stale || err != nil {
		return r, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.old == nil {
		l.old = map[string]core.Record{}
	}
	for i, rec := range r {
		had, ok := l.old[string(rec.Key)]
		if ok && l.due() {
			r[i] = had
		}
		if !ok || rec.Version > had.Version+1 {
			l.old[string(rec.Key)] = rec
		}
	}
	return r, nil
}

// newStore is a Store, or a liar in a process that is told to lie.
func newStore() core.Backend {
	if lie := lies[os.Getenv(envLie)]; lie != nil {
		return lie(memory.New())
	}
	return memory.New()
}

// The kits fail over an engine that lies, whatever the lie, and pass over the
// same wrapper when it does not: they measure something.
func TestKitsCatchLyingEngines(t *testing.T) {
	for name := range lies {
		t.Run(name, func(t *testing.T) {
			c := exec.Command(os.Args[0], "-test.run=^TestConformance$|^TestInvariants$/^I[1234]", "-test.timeout=5m")
			c.Env = append(os.Environ(), envLie+"="+name, "KEPOSS_TEST_LEVEL=0")
			out, err := c.CombinedOutput()
			if strings.Contains(string(out), "panic:") && !strings.Contains(string(out), "test timed out") {
				t.Fatalf("a panic:\n%s", out)
			}
			if (err == nil) != (name == "honest") {
				t.Fatalf("%v:\n%s", err, out)
			}
			for _, line := range strings.Split(string(out), "\n") {
				if strings.Contains(line, "--- FAIL") {
					t.Log(strings.TrimSpace(line))
				}
			}
		})
	}
}
