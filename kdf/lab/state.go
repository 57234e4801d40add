package lab

import (
	"bufio"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/keposs/keposs/core"
)

// A State is a file that grows by one line a cell, so that a run that was
// stopped goes on where it was. Its first line is the machine.
type State struct {
	path    string
	machine *Machine
	cells   map[string]Cell
}

// OpenState reads path, which need not exist. A last line cut short by a crash
// is dropped; any other damage is Corrupt.
func OpenState(path string) (*State, error) {
	const op = "lab: state"
	s := &State{path: path, cells: map[string]Cell{}}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, core.Errorf(core.Environment, op, "%w", err)
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	sc.Buffer(make([]byte, 0, 1<<16), 1<<20)
	var bad error
	for n := 1; sc.Scan(); n++ {
		if bad != nil {
			return nil, bad
		}
		if s.machine == nil {
			m := new(Machine)
			if err := json.Unmarshal(sc.Bytes(), m); err != nil {
				return nil, core.Errorf(core.Corrupt, op, "%s, line %d: %w; remove the file to start over", path, n, err)
			}
			s.machine = m
			continue
		}
		var c Cell
		if err := json.Unmarshal(sc.Bytes(), &c); err != nil {
			bad = core.Errorf(core.Corrupt, op, "%s, line %d: %w; remove the file to start over", path, n, err)
			continue
		}
		s.cells[c.Params] = c
	}
	if err := sc.Err(); err != nil {
		return nil, core.Errorf(core.Corrupt, op, "%s: %w", path, err)
	}
	return s, nil
}

// match refuses to mix machines or builds; it writes the first line of a new
// state. A nil state matches all.
func (s *State) match(m Machine) error {
	switch {
	case s == nil:
		return nil
	case s.machine == nil:
		s.machine = &m
		return s.rewrite()
	case !s.machine.Same(m):
		return core.Errorf(core.Conflict, "lab: state", "%s was measured on another machine or build (%s, %s %s): name another folder", s.path, s.machine.CPU, s.machine.Go, s.machine.Experiment)
	}
	return s.rewrite() // drops a line cut short, so that the next one starts afresh
}

func (s *State) rewrite() error {
	f, err := os.CreateTemp(filepath.Dir(s.path), ".state-*")
	if err != nil {
		return core.Errorf(core.Environment, "lab: state", "%w", err)
	}
	e := json.NewEncoder(f)
	err = e.Encode(s.machine)
	for _, c := range s.cells {
		if err == nil {
			err = e.Encode(c)
		}
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), s.path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return core.Errorf(core.Exhausted, "lab: state", "%w", err)
	}
	return nil
}

func (s *State) cell(p core.Params) (c Cell, ok bool) {
	if s != nil {
		c, ok = s.cells[p.String()]
	}
	return c, ok
}

func (s *State) add(c Cell) error {
	if s == nil {
		return nil
	}
	s.cells[c.Params] = c
	f, err := os.OpenFile(s.path, os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return core.Errorf(core.Environment, "lab: state", "%w", err)
	}
	err = json.NewEncoder(f).Encode(c)
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return core.Errorf(core.Exhausted, "lab: state", "%w", err)
	}
	return nil
}
