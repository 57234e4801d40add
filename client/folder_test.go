package client

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/keposs/keposs/core"
)

// req: G-7.6-01, K-12.1-01, G-7.6-02
func TestFolderIsPrivate(t *testing.T) {
	if !privateModes {
		t.Skip("file modes do not say who may read here")
	}
	dir := filepath.Join(t.TempDir(), "a", "terminal")
	if _, err := openFolder(dir); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(dir)
	if err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	if err := os.Chmod(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	if _, err := openFolder(dir); !errors.Is(err, core.Integrity) {
		t.Errorf("a folder others may enter: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", file} {
		if _, err := openFolder(name); err == nil {
			t.Errorf("%q was taken for a folder", name)
		}
	}
}

// Public files are read strictly: what was changed from outside is Integrity.
func TestBindingFile(t *testing.T) {
	f, err := openFolder(filepath.Join(t.TempDir(), "terminal"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.loadBinding(); !errors.Is(err, core.NotFound) {
		t.Errorf("before provisioning: %v", err)
	}
	key := string(newKey(t).Public().PEM())
	good := Binding{Version: 1, Ticket: ID{9}, App: ID{1}, Device: ID{2}, Realm: ID{3}, Endpoint: "127.0.0.1:1", CA: "system", ServerKey: key, DeviceKey: key}
	if err := f.writeJSON(bindingFile, good); err != nil {
		t.Fatal(err)
	}
	if b, err := f.loadBinding(); err != nil || *b != good {
		t.Errorf("read back %+v, %v", b, err)
	}
	written, err := os.ReadFile(f.path(bindingFile))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty":           "",
		"cut":             string(written[:len(written)/2]),
		"a second object": string(written) + "{}",
		"unknown field":   `{"version":1,"more":true}`,
		"too large":       string(make([]byte, maxPublic+1)),
		"fields missing":  `{"version":1}`,
	} {
		if err := os.WriteFile(f.path(bindingFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if b, err := f.loadBinding(); !errors.Is(err, core.Integrity) || b != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, change := range map[string]func(*Binding){
		"version": func(b *Binding) { b.Version = 2 }, "app": func(b *Binding) { b.App = ID{} },
		"server key": func(b *Binding) { b.ServerKey = "" }, "device key": func(b *Binding) { b.DeviceKey = "x" },
	} {
		b := good
		change(&b)
		if err := b.check(); err == nil {
			t.Errorf("a binding with a bad %s passes", name)
		}
	}
}

// One process at a time: a second one waits and then gives up by name.
func TestFolderLock(t *testing.T) {
	f, err := openFolder(filepath.Join(t.TempDir(), "terminal"))
	if err != nil {
		t.Fatal(err)
	}
	unlock, err := f.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.lock(stopped); !errors.Is(err, core.Canceled) {
		t.Errorf("a wait that was ended: %v", err)
	}
	unlock()
	unlock, err = f.lock(t.Context())
	if err != nil {
		t.Fatalf("after it was given back: %v", err)
	}
	unlock()
}
