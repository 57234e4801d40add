// Package server is SS-CC as an operator runs it: a folder with configuration,
// certificate and database, set up once (Init), and the process that serves it
// (Serve). The storage backend is a plugin process of its own.
package server

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/keposs/keposs/core"
)

// A Folder is SS-CC's data, mode 0700:
//
//	config.toml      what Config says
//	tls/             ca.pem, cert.pem, key.pem (0600)
//	realm.json       realm and identity key; written last by Init (public)
//	listening.json   where the running process listens; absent when none runs
//	audit-head.json  the newest head of the audit log, outside the backend
//	db/              the backend's files, where it keeps files
//	lock             held by the process that serves or sets up
type Folder string

func (f Folder) path(name string) string { return filepath.Join(string(f), name) }

// Names in the folder.
const (
	configFile    = "config.toml"
	realmFile     = "realm.json"
	listeningFile = "listening.json"
	lockFile      = "lock"
	headFile      = "audit-head.json"
	caFile        = "tls/ca.pem"
	certFile      = "tls/cert.pem"
	keyFile       = "tls/key.pem"
	databaseDir   = "db"
)

// maxFile bounds every file of the folder that is read whole.
const maxFile = 256 << 10

// Missing is the error of a folder nobody set up.
func (f Folder) missing(op string) error {
	return core.Errorf(core.State, op, "there is no SS-CC in %s: set one up with `keposs ss-cc init`", string(f))
}

// exists tells whether Init completed here.
func (f Folder) exists() bool {
	_, err := os.Stat(f.path(realmFile))
	return err == nil
}

// make creates the folder and what lies below it with mode 0700, or takes one
// that nobody else may enter.
func (f Folder) make(op string) error {
	for _, dir := range []string{string(f), f.path("tls"), f.path(databaseDir)} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return core.Errorf(core.Environment, op, "create %s: %w", dir, err)
		}
	}
	return f.private(op)
}

// private refuses a folder others may enter: its key file and configuration
// are secrets.
func (f Folder) private(op string) error {
	st, err := os.Stat(string(f))
	if err != nil {
		return f.missing(op)
	}
	if privateModes && st.Mode().Perm()&0o077 != 0 {
		return core.Errorf(core.Integrity, op, "%s may be entered by others (mode %04o): chmod 0700 it after finding out why", string(f), st.Mode().Perm())
	}
	return nil
}

// read returns a file of the folder, at most maxFile bytes.
func (f Folder) read(op, name string) ([]byte, error) {
	st, err := os.Stat(f.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, core.Errorf(core.NotFound, op, "%s does not exist", f.path(name))
	}
	if err == nil && st.Size() > maxFile {
		return nil, core.Errorf(core.TooLarge, op, "%s has %d bytes, at most %d", f.path(name), st.Size(), maxFile)
	}
	if err != nil {
		return nil, core.Errorf(core.Environment, op, "%w", err)
	}
	b, err := os.ReadFile(f.path(name))
	if err != nil {
		return nil, core.Errorf(core.Environment, op, "%w", err)
	}
	return b, nil
}

// write replaces a file of the folder as a whole: temporary file, sync, rename,
// sync of the directory.
func (f Folder) write(op, name string, b []byte, mode fs.FileMode) error {
	target := f.path(name)
	t, err := os.CreateTemp(filepath.Dir(target), ".new-*")
	if err != nil {
		return core.Errorf(core.Exhausted, op, "write %s: %w", target, err)
	}
	_, err = t.Write(b)
	err = errors.Join(err, t.Chmod(mode), t.Sync(), t.Close())
	if err == nil {
		err = os.Rename(t.Name(), target)
	}
	if err == nil {
		err = syncDir(filepath.Dir(target))
	}
	if err != nil {
		_ = os.Remove(t.Name())
		return core.Errorf(core.Exhausted, op, "write %s: %w", target, err)
	}
	return nil
}

func (f Folder) writeJSON(op, name string, v any, mode fs.FileMode) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return core.Errorf(core.Internal, op, "%s: %w", name, err)
	}
	return f.write(op, name, append(b, '\n'), mode)
}

func (f Folder) readJSON(op, name string, v any) error {
	b, err := f.read(op, name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return core.Errorf(core.Corrupt, op, "%s is not what was written: %w", f.path(name), err)
	}
	return nil
}

// sweep removes temporary files a killed process left behind. The caller holds
// the lock.
func (f Folder) sweep() {
	for _, pattern := range []string{".new-*", "tls/.new-*"} {
		left, _ := filepath.Glob(f.path(pattern))
		for _, name := range left {
			_ = os.Remove(name)
		}
	}
}
