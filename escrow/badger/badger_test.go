package badger_test

import (
	"os"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/badger"
	"github.com/keposs/keposs/escrow/escrowtest"
)

var harness = escrowtest.Harness{
	Name: "badger", Durable: true,
	New: func() (core.Backend, error) { return badger.New(), nil },
	Place: func() (*escrowtest.Place, error) {
		dir, err := os.MkdirTemp("", "keposs-badger-")
		return &escrowtest.Place{
			Config: core.Config{Values: map[string]string{"dir": dir, "memtable_mb": "16", "watermark_mb": "96", "ballast_mb": "1"}},
			Dir:    dir, Remove: func() { _ = os.RemoveAll(dir) },
		}, err
	},
}

// req: K-6.2-02a, K-6.2-02b, TK-07
func TestConformance(t *testing.T) { escrowtest.Run(t, harness) }
