package client

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/keposs/keposs/core"
)

// Whatever state its files are in, a terminal's folder holds no secret and no
// record after Zeroise, and can be provisioned anew.
// req: G-7.9-10, G-7.9-11, K-10.2-07, K-17.7-00, G-7.11-08
func TestZeroise(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, f *folder){
		"whole":          func(*testing.T, *folder) {},
		"record changed": func(t *testing.T, f *folder) { flip(t, filepath.Join(f.state(), "trust")) },
		"key changed":    func(t *testing.T, f *folder) { flip(t, filepath.Join(f.keys(), "device-secret-1")) },
		"binding gone":   func(t *testing.T, f *folder) { _ = os.Remove(f.path(bindingFile)) },
	} {
		t.Run(name, func(t *testing.T) {
			e, c, _ := initialised(t)
			f := c.folder
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			spoil(t, f)
			for range 2 { // and again: nothing left is no error
				if err := Zeroise(t.Context(), f.dir); err != nil {
					t.Fatal(err)
				}
			}
			for _, dir := range []string{f.keys(), f.state()} {
				if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
					t.Errorf("%s holds %v, %v", filepath.Base(dir), left, err)
				}
			}
			c = opened(t, f.dir, right)
			if _, err := c.Sign(t.Context(), SignRequest{Message: []byte("m")}); !errors.Is(err, NotReady) {
				t.Errorf("sign afterwards: %v", err)
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := Provision(t.Context(), f.dir, e.Ticket(t)); err != nil {
				t.Errorf("a new ticket afterwards: %v", err)
			}
		})
	}
	if err := Zeroise(t.Context(), filepath.Join(t.TempDir(), "nothing")); !errors.Is(err, core.NotFound) {
		t.Errorf("no folder: %v", err)
	}
}

func flip(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		b[len(b)/2] ^= 1
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
