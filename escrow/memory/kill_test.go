package memory_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/sscc/sscctest"
	"github.com/keposs/keposs/escrow/internal/powercut"
	"github.com/keposs/keposs/escrow/memory"
	"github.com/keposs/keposs/internal/testenv"
)

// in opens the log of a folder.
func in(t *testing.T, dir string) core.Backend {
	t.Helper()
	b := memory.New()
	t.Cleanup(func() { _ = b.Close() })
	if err := b.Configure(context.Background(), core.Config{Values: map[string]string{"path": filepath.Join(dir, "log")}}); err != nil {
		t.Fatal(err)
	}
	return b
}

// rounds is how often processes and disks are ended.
func rounds() int {
	if testenv.Level() == 0 {
		return 3
	}
	return 100
}

// kill -9 of SS-CC at random instants: no answer runs ahead of the count.
// req: K-7.2-D3, X-13
func TestKilledAtRandom(t *testing.T) {
	sscctest.KilledAtRandom(t, sscctest.Killing{Rounds: rounds(), Open: in})
}

// The power of the disk is cut at random instants: the same.
// req: K-7.2-D3
func TestPowerCut(t *testing.T) {
	k := sscctest.Killing{Rounds: rounds() / 3, Open: in}
	if os.Getenv("KEPOSS_TEST_GUESSER") == "" { // the process itself finds its disk mounted
		d := powercut.New(t, 64)
		k.Place = func(*testing.T) (string, func(), func()) { return d.Folder(), d.Cut, d.Back }
	}
	sscctest.KilledAtRandom(t, k)
}
