package memory_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/escrowtest"
)

var volatile = escrowtest.Harness{
	Name: "memory",
	New:  func() (core.Backend, error) { return newStore(), nil },
	Place: func() (*escrowtest.Place, error) {
		return &escrowtest.Place{Config: core.Config{Values: map[string]string{}}}, nil
	},
}

var logged = escrowtest.Harness{
	Name: "memory-log", New: volatile.New, Durable: true, In: in,
	Place: func() (*escrowtest.Place, error) {
		base, err := os.MkdirTemp("", "keposs-memory-")
		if err != nil {
			return nil, err
		}
		dir, head := filepath.Join(base, "store"), filepath.Join(base, "head")
		c := in(dir)
		c.Values["head"] = head
		return &escrowtest.Place{Config: c, Dir: dir, Head: head, Remove: func() { _ = os.RemoveAll(base) }}, os.Mkdir(dir, 0o700)
	},
}

func in(dir string) core.Config {
	return core.Config{Values: map[string]string{"path": filepath.Join(dir, "log")}}
}

// req: K-6.2-02a, TK-07
func TestConformance(t *testing.T) { escrowtest.Run(t, volatile) }

// req: K-6.2-02a
func TestConformanceLogged(t *testing.T) { escrowtest.Run(t, logged) }

func BenchmarkKit(b *testing.B) { escrowtest.Bench(b, logged) }
