package check

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/plugins"
)

// typedPINs is a folder of people who type a number each, two takes of it; no
// two have the same number and several begin alike.
func typedPINs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(3, 4))
	for who := range 40 {
		pin := fmt.Sprintf("%02d%02d50%02d\n", 20+r.IntN(30), r.IntN(90), who)
		for take := range 2 {
			name := filepath.Join(dir, fmt.Sprintf("person-%02d", who), fmt.Sprintf("%d.txt", take))
			if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(pin), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// A sound source's claim is weighed and told; samples that cannot be read are
// refused.
func TestStrengthMeasured(t *testing.T) {
	linux(t)
	target := Target{Path: os.Args[0], Kind: plugins.KindSource, Name: "pin", Env: noLinger, Samples: typedPINs(t)}
	var found Result
	for _, c := range kit(t.Context(), target) {
		if c.Name == "StrengthMeasured" {
			found = Result{Case: c, Err: c.Run(t.Context(), target)}
		}
	}
	var note Note
	if !errors.As(found.Err, &note) {
		t.Fatalf("%+v", found)
	}
	for _, want := range []string{"40 of 40 people enrolled; 80 of 80 own samples open, 0 of 3120 strangers' do", "95 % sure of 10.0 bits"} {
		if !strings.Contains(string(note), want) {
			t.Errorf("it tells %q, want %q", note, want)
		}
	}
	empty := t.TempDir()
	target.Samples = empty
	cases := kit(t.Context(), target)
	if err := cases[0].Run(t.Context(), target); len(cases) != 1 || !errors.Is(err, core.Usage) {
		t.Errorf("an empty folder: %v", err)
	}
}
