package prompt

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/ppd/face"
)

// A face file of seven rows answers an enrolment of five prompts, the next
// service with the rows left, and begins again when too few are left.
func TestSamplesRowByRow(t *testing.T) {
	dir := t.TempDir()
	a := &face.Array{Rows: 7, Cols: 64, Data: make([]float64, 7*64)}
	for i := range a.Data {
		a.Data[i] = float64(i/64) + 0.5
	}
	var b bytes.Buffer
	if err := face.WriteNPY(&b, a); err != nil {
		t.Fatal(err)
	}
	file, fmr := filepath.Join(dir, "me.npy"), filepath.Join(dir, "finger.fmr")
	if err := errors.Join(os.WriteFile(file, b.Bytes(), 0o600), os.WriteFile(fmr, []byte("FMR"), 0o600)); err != nil {
		t.Fatal(err)
	}
	s, err := NewSamples([]string{"face=" + file, "fingerprint=" + fmr})
	if err != nil {
		t.Fatal(err)
	}
	row := func(label string, index, total int) int {
		t.Helper()
		q := core.Prompt{Kinds: []core.SampleKind{core.SampleFaceEmbedding}, Label: label, Index: index, Total: total}
		got, err := s.Ask(ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		defer got.Data.Wipe()
		c, model, err := face.ParseSample(got.Data.Bytes(), 64)
		if err != nil || len(c) != 1 || model != "" || got.Model != "" {
			t.Fatalf("%d rows, model %q: %v", len(c), got.Model, err)
		}
		return int(c[0][0])
	}
	for i := 1; i <= 5; i++ {
		if got := row("face:door", i, 5); got != i-1 {
			t.Errorf("enrolment, prompt %d: row %d", i, got)
		}
	}
	if got := []int{row("face:door", 1, 2), row("face:door", 2, 2), row("face:door", 1, 2)}; got[0] != 5 || got[1] != 6 || got[2] != 0 {
		t.Errorf("services: rows %v, want 5 6 0", got)
	}
	finger := core.Prompt{Kinds: []core.SampleKind{core.SampleISOFMR}, Label: "fingerprint", Index: 1, Total: 1}
	if got, err := s.Ask(ctx, finger); err != nil || string(got.Data.Bytes()) != "FMR" {
		t.Errorf("finger: %v", err)
	}
	more := core.Prompt{Kinds: []core.SampleKind{core.SampleFaceEmbedding}, Label: "face", Index: 8, Total: 8}
	s.next["face"] = 7
	if _, err := s.Ask(ctx, more); !errors.Is(err, core.NotFound) {
		t.Errorf("an eighth row: %v", err)
	}
	more.Refusal = "blurred"
	if _, err := s.Ask(ctx, more); !errors.Is(err, core.CaptureRefused) {
		t.Errorf("refused with no further row: %v", err)
	}
	if _, err := s.Ask(ctx, pinPrompt("pin", core.PurposeRecover)); !errors.Is(err, core.Unsupported) {
		t.Errorf("a PIN from a file: %v", err)
	}
	if err := os.WriteFile(file, b.Bytes()[:b.Len()-1], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Ask(ctx, core.Prompt{Kinds: more.Kinds, Label: "face", Index: 1, Total: 1}); !errors.Is(err, core.Invalid) {
		t.Errorf("a file cut while in use: %v", err)
	}
}
