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
	Name: "memory-log", New: volatile.New, Durable: true,
	Place: func() (*escrowtest.Place, error) {
		dir, err := os.MkdirTemp("", "keposs-memory-")
		return &escrowtest.Place{
			Config: core.Config{Values: map[string]string{"path": filepath.Join(dir, "log")}},
			Dir:    dir, Remove: func() { _ = os.RemoveAll(dir) },
		}, err
	},
}

// req: K-6.2-02a, TK-07
func TestConformance(t *testing.T) { escrowtest.Run(t, volatile) }

// req: K-6.2-02a
func TestConformanceLogged(t *testing.T) { escrowtest.Run(t, logged) }
