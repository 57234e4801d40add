package badger_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/badger"
	"github.com/keposs/keposs/escrow/escrowtest"
)

var harness = escrowtest.Harness{
	Name: "badger", Durable: true, In: in, Tidy: badger.Tidy,
	New: func() (core.Backend, error) { return badger.New(), nil },
	Place: func() (*escrowtest.Place, error) {
		base, err := os.MkdirTemp("", "keposs-badger-")
		dir, head := filepath.Join(base, "store"), filepath.Join(base, "head")
		c := in(dir)
		c.Values["head"] = head
		return &escrowtest.Place{Config: c, Dir: dir, Head: head, Remove: func() { _ = os.RemoveAll(base) }}, err
	},
}

func in(dir string) core.Config {
	return core.Config{Values: map[string]string{"dir": dir, "memtable_mb": "16", "watermark_mb": "96", "ballast_mb": "1"}}
}

// req: K-6.2-02a, K-6.2-02b, TK-07
func TestConformance(t *testing.T) { escrowtest.Run(t, harness) }

func BenchmarkKit(b *testing.B) { escrowtest.Bench(b, harness) }
