package link

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keposs/keposs/core"
)

// The socket is its owner's: mode 0600 in a folder others cannot enter, also
// where its path is longer than an address takes; the kernel tells who connects.
func TestSocketIsPrivate(t *testing.T) {
	for _, name := range []string{"s", strings.Repeat("long/", 30) + "s"} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := Dial(t.Context(), path); !errors.Is(err, core.NotFound) {
			t.Errorf("nobody listens: %v", err)
		}
		dialOwn(t, path)
	}
}

// dialOwn listens on path, twice as after a kill, and connects.
func dialOwn(t *testing.T, path string) {
	t.Helper()
	for range 2 {
		l, err := Listen(path)
		if err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(path)
		if err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("the socket: %v, %v", st.Mode(), err)
		}
		c, err := Dial(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		in, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if p, err := PeerOf(in); err != nil || p.PID != os.Getpid() || p.UID != os.Getuid() {
			t.Errorf("the peer is %+v, %v", p, err)
		}
		_ = c.Close()
		_ = in.Close()
		_ = l.Close()
	}
	if _, err := Dial(t.Context(), path); !errors.Is(err, core.NotFound) {
		t.Errorf("nobody listens any more: %v", err)
	}
	dir := filepath.Dir(path)
	if err := os.Chmod(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path); !errors.Is(err, core.Integrity) {
		t.Errorf("a folder the group enters: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := errors.Join(os.WriteFile(file, []byte("kept"), 0o600), os.Chmod(filepath.Dir(file), 0o700)); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(file); !errors.Is(err, core.Conflict) {
		t.Errorf("a file in its place: %v", err)
	}
}
