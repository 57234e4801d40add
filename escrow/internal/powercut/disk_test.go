package powercut_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/keposs/keposs/escrow/internal/powercut"
)

// A cut keeps what was synced and loses what was not: it is a cut.
func TestCut(t *testing.T) {
	d := powercut.New(t, 64)
	dir := d.Folder()
	for _, name := range []string{"synced", "not"} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(name); err != nil {
			t.Fatal(err)
		}
		if name == "synced" {
			err = f.Sync()
		}
		if err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
	}
	d.Cut()
	if os.WriteFile(filepath.Join(dir, "later"), []byte("x"), 0o600) == nil {
		t.Error("written after the cut")
	}
	d.Back()
	if b, err := os.ReadFile(filepath.Join(dir, "synced")); err != nil || string(b) != "synced" {
		t.Errorf("what was synced is %q, %v", b, err)
	}
	if b, _ := os.ReadFile(filepath.Join(dir, "not")); len(b) != 0 {
		t.Errorf("what was not synced is %q", b)
	}
}
