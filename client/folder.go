package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc/trail"
)

// A folder is the terminal's data: what Provision and core/mstcc left.
//
//	binding.json    which app and device this is, and whom it talks to (public)
//	enrolling.json  a provisioning under way: ticket and device id (public)
//	user.json       the app's copy of the user id and public keys (public)
//	keys/           the key store: device key and device secrets
//	state/          trust record, profile, try counter, journal
//	agent.sock      where an agent listens, mode 0600
//	audit/          provisioning, zeroisation and what an agent served: one SM3 chain (public)
//	lock            held by the process that has the folder open
type folder struct{ dir string }

const (
	bindingFile   = "binding.json"
	enrollingFile = "enrolling.json"
	userFile      = "user.json"
	lockFile      = "lock"
	maxPublic     = 64 << 10 // bytes of each JSON file
)

func (f *folder) keys() string            { return filepath.Join(f.dir, "keys") }
func (f *folder) state() string           { return filepath.Join(f.dir, "state") }
func (f *folder) path(name string) string { return filepath.Join(f.dir, name) }

// openFolder makes dir with mode 0700, or takes it as it is when nobody else
// may look into it.
func openFolder(dir string) (*folder, error) {
	const op = "client: open"
	if dir == "" {
		return nil, core.Errorf(core.Usage, op, "want the terminal's folder")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, core.Errorf(core.Environment, op, "create %s: %w", dir, err)
	}
	st, err := os.Stat(dir)
	if err != nil {
		return nil, core.Errorf(core.Environment, op, "%w", err)
	}
	if !st.IsDir() {
		return nil, core.Errorf(core.Usage, op, "%s is a file, want a folder", dir)
	}
	if privateModes && st.Mode().Perm()&0o077 != 0 {
		return nil, core.Errorf(core.Integrity, op, "%s may be entered by others (mode %04o): chmod 0700 it after finding out why", dir, st.Mode().Perm())
	}
	return &folder{dir: dir}, nil
}

// audit is where the terminal's log stands.
func (f *folder) audit() string { return filepath.Join(f.dir, "audit") }

// tell writes an event of the folder's own to the terminal's log, where there is
// one. The caller holds the folder.
func (f *folder) tell(kind string, outcome error) error {
	if _, err := os.Stat(f.audit()); err != nil {
		return nil
	}
	l, err := trail.Open(f.audit())
	if err != nil {
		return err
	}
	return errors.Join(told(l, kind, outcome), l.Close())
}

// told adds what this process did and how it ended.
func told(l *trail.Log, kind string, outcome error) error {
	e := trail.Event{Kind: kind, PID: os.Getpid()}
	if outcome != nil {
		e.Code = core.CodeOf(outcome).String()
	}
	return l.Add(e)
}

// writeJSON replaces name as a whole: temporary file, sync, rename.
func (f *folder) writeJSON(name string, v any) (err error) {
	const op = "client: write"
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return core.Errorf(core.Internal, op, "%s: %w", name, err)
	}
	t, err := os.CreateTemp(f.dir, "."+name+"-*")
	if err != nil {
		return core.Errorf(core.Exhausted, op, "%s: %w", name, err)
	}
	_, err = t.Write(append(b, '\n'))
	err = errors.Join(err, t.Chmod(0o600), t.Sync(), t.Close())
	if err == nil {
		err = os.Rename(t.Name(), f.path(name))
	}
	if err == nil {
		err = f.sync()
	}
	if err != nil {
		_ = os.Remove(t.Name())
		return core.Errorf(core.Exhausted, op, "%s: %w", name, err)
	}
	return nil
}

// sync makes names in the folder durable where a folder can be synced.
func (f *folder) sync() error {
	if !privateModes {
		return nil
	}
	d, err := os.Open(f.dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readJSON reads name strictly; NotFound when absent, Integrity when it is not
// what this package wrote.
func (f *folder) readJSON(name string, v any) error {
	const op = "client: read"
	st, err := os.Stat(f.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return core.Errorf(core.NotFound, op, "%s is absent", name)
	}
	if err != nil {
		return core.Errorf(core.Internal, op, "%s: %w", name, err)
	}
	if st.Size() > maxPublic {
		return core.Errorf(core.Integrity, op, "%s has %d bytes, at most %d", name, st.Size(), maxPublic)
	}
	b, err := os.ReadFile(f.path(name))
	if err != nil {
		return core.Errorf(core.Internal, op, "%s: %w", name, err)
	}
	if err := strictJSON(b, v); err != nil {
		return core.Errorf(core.Integrity, op, "%s is not what was written: %w", name, err)
	}
	return nil
}

// strictJSON refuses unknown fields and anything after the object.
func strictJSON(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if d.More() {
		return errors.New("data after the object")
	}
	return nil
}

// forget removes a public file; an absent one is fine.
func (f *folder) forget(name string) error {
	if err := os.Remove(f.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return core.Errorf(core.Internal, "client", "remove %s: %w", name, err)
	}
	return nil
}
