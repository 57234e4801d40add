package escrowtest_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/badger"
	"github.com/keposs/keposs/escrow/escrowtest"
	"github.com/keposs/keposs/escrow/memory"
	"github.com/keposs/keposs/internal/control"
	"github.com/keposs/keposs/internal/testenv"
	"github.com/keposs/keposs/plugins"
	"github.com/keposs/keposs/plugins/plugintest"
)

func TestMain(m *testing.M) {
	plugintest.Main(m, plugins.Registry{Backend: func(name string) (core.Backend, error) { return processes[name](), nil }})
}

// processes are the backends of the zoo that run as a process, by name.
var processes = map[string]func() core.Backend{
	"memory": memory.New,
	"fsync":  func() core.Backend { return named{&deaf{memory.New()}, "fsync"} },
	"ack":    func() core.Backend { return named{&hasty{Backend: memory.New()}, "ack"} },
	"badger": func() core.Backend { return badger.New() },

	control.Default: func() core.Backend { return control.Backend(control.Default) },
	control.Barrier: func() core.Backend { return control.Backend(control.Barrier) },
}

// named is a backend under a name of its own.
type named struct {
	core.Backend
	name string
}

func (n named) Describe(ctx context.Context) (core.BackendInfo, error) {
	i, err := n.Backend.Describe(ctx)
	i.Name = n.name
	return i, err
}

// A mutant is a backend with one thing wrong, and the case that finds it.
type mutant struct {
	name   string
	level  int
	caught string   // group/name of the case
	also   []string // cases of the same group that the fault may turn red too
	disk   bool     // its case needs a disk whose power can be cut, which not every machine has
	tries  int      // how often its case is run until it is red, where chance decides; 0 = once
	// made returns the harness of the mutant, or of its twin without the fault.
	made func(t *testing.T, faulty bool) escrowtest.Harness
}

var zoo = []mutant{
	{name: "CAS that ignores the match count", caught: "Ladder", also: []string{"OldRequestConflicts", "ZeroRequestID", "Counters", "CountersFull"},
		made: over(func(b core.Backend) core.Backend { return &yesSayer{b} })},
	{name: "version reuse after delete", caught: "NeverReused", also: []string{"RepeatSameAnswer"},
		made: over(func(b core.Backend) core.Backend { return &forgetful{Backend: b} })},
	{name: "scan that skips a page border", caught: "OrderedAndWhole", also: []string{"BinaryOrder", "WholeUnderChurn"},
		made: over(func(b core.Backend) core.Backend { return skipper{b} })},
	{name: "cached stale read", caught: "SecondHandle", also: []string{"Linearizable", "LinearizableLong"}, made: shared},
	{name: "Hot and Blob not atomic", caught: "NeverTorn", also: []string{"Linearizable", "LinearizableLong"},
		made: over(func(b core.Backend) core.Backend { return &torn{Backend: b, late: map[string][]byte{}} })},
	{name: "ack before commit", level: 1, caught: "KilledWhileWriting", also: []string{"KilledWhileOpening", "KilledWhileClosing"}, made: process("ack")},
	{name: "swallowed fsync", level: 1, disk: true, caught: "FailedSyncIsNoSuccess", also: []string{"PowerCut"}, made: process("fsync")},
	{name: "no checksum", caught: "BitFlipped", also: []string{"Truncated", "Overwritten"}, made: dumped},
	{name: "no memory of how new it is", caught: "OneFilePutBack", made: dumped},
	{name: "import that overwrites what is newer", caught: "ImportKeepsNewer",
		made: over(func(b core.Backend) core.Backend { return &careless{Backend: b, overwrites: true} })},
	{name: "export without tombstones", caught: "DeadAfterRestore",
		made: over(func(b core.Backend) core.Backend { return &careless{Backend: b, noTombs: true} })},
	{name: "compaction that drops tombstones", caught: "DeadAfterTidying", made: compacting},
	{name: "Badger with default options", level: 1, disk: true, tries: 6, caught: "PowerCut", also: []string{"FailedSyncIsNoSuccess"}, made: unsynced(control.Default)},
	{name: "DB.Sync as barrier", level: 1, disk: true, tries: 6, caught: "PowerCut", also: []string{"FailedSyncIsNoSuccess"}, made: unsynced(control.Barrier)},
	{name: "ack before the quorum", level: 1, caught: "LeaderKilled", also: []string{"LeaderPaused"}, made: replicated(tardy)},
	{name: "reads from a deposed leader", level: 1, caught: "LeaderPaused", made: replicated(deposed)},
	{name: "memory written out beside the records", level: 1, caught: "NothingReadable", made: dumping},
}

// Each mutant turns the case red that is named for it, and no other case of its
// group than may be; its twin without the fault passes the whole group.
// req: TK-07
func TestZoo(t *testing.T) {
	for _, m := range zoo {
		t.Run(m.name, func(t *testing.T) {
			testenv.NeedLevel(t, m.level)
			for _, faulty := range []bool{false, true} {
				red := m.run(t, faulty)
				for n := 1; faulty && n < m.tries && !slices.Contains(red, m.caught); n++ {
					red = m.run(t, faulty)
				}
				switch {
				case !faulty && len(red) > 0:
					t.Fatalf("without the fault these are red: %v", red)
				case faulty && !slices.Contains(red, m.caught):
					t.Fatalf("%s lets it pass; red are %v", m.caught, red)
				}
				for _, name := range red {
					if name != m.caught && !slices.Contains(m.also, name) {
						t.Errorf("%s is red too", name)
					}
				}
			}
		})
	}
}

// run runs the mutant's group and returns the names of the cases that are red.
func (m mutant) run(t *testing.T, faulty bool) (red []string) {
	cases := escrowtest.Cases()
	at := slices.IndexFunc(cases, func(c escrowtest.Case) bool { return c.Name == m.caught })
	if at < 0 {
		t.Fatalf("there is no case %s", m.caught)
	}
	group := cases[at].Group
	r := escrowtest.NewRig(m.made(t, faulty), 1)
	defer r.Close()
	for _, c := range cases {
		if c.Group != group {
			continue
		}
		err := escrowtest.RunCase(t.Context(), r, c)
		var skip escrowtest.Skip
		switch {
		case errors.As(err, &skip) && c.Name == m.caught && m.disk:
			t.Skip(skip)
		case errors.As(err, &skip) && c.Name == m.caught:
			t.Fatalf("%s does not apply to it: %v", c.Name, skip)
		case errors.As(err, &skip):
		case err != nil:
			t.Logf("%s: %v", c.Name, err)
			red = append(red, c.Name)
		}
	}
	return red
}

// volatile is the reference backend behind wrap.
func volatile(wrap func(core.Backend) core.Backend) escrowtest.Harness {
	return escrowtest.Harness{
		Name:  "mutant",
		New:   func() (core.Backend, error) { return wrap(memory.New()), nil },
		Place: func() (*escrowtest.Place, error) { return &escrowtest.Place{}, nil },
	}
}

// over makes a mutant of the reference backend by a wrapper.
func over(wrap func(core.Backend) core.Backend) func(*testing.T, bool) escrowtest.Harness {
	return func(_ *testing.T, faulty bool) escrowtest.Harness {
		if !faulty {
			return volatile(func(b core.Backend) core.Backend { return b })
		}
		return volatile(wrap)
	}
}

// inFolders gives each store a folder of its own.
func inFolders(in func(dir string) core.Config) func() (*escrowtest.Place, error) {
	return func() (*escrowtest.Place, error) {
		dir, err := os.MkdirTemp("", "keposs-zoo-")
		return &escrowtest.Place{Config: in(dir), Dir: dir, Remove: func() { _ = os.RemoveAll(dir) }}, err
	}
}

func logIn(dir string) core.Config {
	return core.Config{Values: map[string]string{"path": filepath.Join(dir, "log")}}
}

// process makes a mutant that runs as a process, which can be killed; its twin
// is the reference backend with its log.
func process(name string) func(*testing.T, bool) escrowtest.Harness {
	return func(t *testing.T, faulty bool) escrowtest.Harness {
		if faulty {
			return killable(t, name, logIn)
		}
		return killable(t, "memory", logIn)
	}
}

// unsynced is a way of using Badger that loses writes at a power cut; its twin
// is the backend.
func unsynced(name string) func(*testing.T, bool) escrowtest.Harness {
	return func(t *testing.T, faulty bool) escrowtest.Harness {
		if faulty {
			return killable(t, name, func(dir string) core.Config {
				return core.Config{Values: map[string]string{"dir": filepath.Join(dir, "control")}}
			})
		}
		return killable(t, "badger", func(dir string) core.Config {
			return core.Config{Values: map[string]string{"dir": filepath.Join(dir, "db"), "memtable_mb": "16", "watermark_mb": "96", "ballast_mb": "1"}}
		})
	}
}

// killable is a backend that runs as a process.
func killable(t *testing.T, name string, in func(dir string) core.Config) escrowtest.Harness {
	return escrowtest.Harness{
		Name: name, Durable: true, In: in, Place: inFolders(in), Kill: plugintest.KillBackend,
		New: func() (core.Backend, error) {
			b, _, err := plugintest.OpenBackend(t.Context(), name)
			return b, err
		},
	}
}
