package badger_test

import (
	"context"
	"maps"
	"path/filepath"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/sscc/sscctest"
	"github.com/keposs/keposs/escrow/badger"
	"github.com/keposs/keposs/escrow/internal/powercut"
	"github.com/keposs/keposs/internal/testenv"
)

// opened opens the store of a folder, with small files.
func opened(t *testing.T, dir string) core.Backend {
	t.Helper()
	values := map[string]string{"dir": filepath.Join(dir, "store"), "memtable_mb": "8", "vlog_mb": "16", "watermark_mb": "48", "ballast_mb": "0"}
	b := badger.New()
	t.Cleanup(func() { _ = b.Close() })
	if err := b.Configure(context.Background(), core.Config{Values: maps.Clone(values)}); err != nil {
		t.Fatal(err)
	}
	return b
}

// kill -9 of SS-CC at random instants: no answer runs ahead of the count.
// req: K-7.2-D3, X-13
func TestKilledAtRandom(t *testing.T) {
	sscctest.KilledAtRandom(t, sscctest.Killing{Rounds: sscctest.Rounds(testenv.Level()), Open: opened})
}

// The power of the disk is cut at random instants: the same.
// req: K-7.2-D3
func TestPowerCut(t *testing.T) {
	sscctest.KilledAtRandom(t, sscctest.Killing{Rounds: sscctest.Rounds(testenv.Level()) / 3, Open: opened,
		Machine: func(t *testing.T) sscctest.Place { return powercut.New(t, 512).Place }})
}
