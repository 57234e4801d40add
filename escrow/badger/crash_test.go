package badger_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/badger"
)

// A process killed between making a log file and giving it its size leaves an
// empty file of either kind, which must not keep the store from opening.
func TestOpensOverEmptyLogs(t *testing.T) {
	place, err := harness.Place()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(place.Remove)
	open := func() core.Backend {
		t.Helper()
		b := badger.New()
		if err := b.Configure(t.Context(), place.Config); err != nil {
			t.Fatal(err)
		}
		return b
	}
	if err := open().Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"00009.mem", "000009.vlog"} {
		if err := os.WriteFile(filepath.Join(place.Dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := open().Close(); err != nil {
		t.Fatal(err)
	}
}
