package escrowtest_test

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/escrowtest"
	"github.com/keposs/keposs/escrow/memory"
)

// A backend is told nothing readable: keys are digests and contents are sealed.
// But it shares a process with who knows better, and a dump of that process is
// what operators find beside their databases.

// diagnostic writes the process's memory out when it is closed.
type diagnostic struct {
	core.Backend
	dir string
}

func (d *diagnostic) Close() error {
	f, err := os.Create(filepath.Join(d.dir, "heap"))
	if err != nil {
		return err
	}
	debug.WriteHeapDump(f.Fd())
	if err := f.Close(); err != nil {
		return err
	}
	return d.Backend.Close()
}

func dumping(_ *testing.T, faulty bool) escrowtest.Harness {
	h := escrowtest.Harness{Name: "dumping", Durable: true, New: func() (core.Backend, error) { return memory.New(), nil }, Place: inFolders(logIn)}
	if faulty {
		var dir string
		h.Place = inFolders(func(in string) core.Config { dir = in; return logIn(in) })
		h.New = func() (core.Backend, error) { return &diagnostic{memory.New(), dir}, nil }
	}
	return h
}
