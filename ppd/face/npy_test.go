package face_test

import (
	"archive/zip"
	"bytes"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/ppd/face"
)

func npyOf(header string, body int) []byte {
	b := append([]byte{0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, byte(len(header)), byte(len(header) >> 8)}, header...)
	return append(b, make([]byte, body)...)
}

// Hostile headers are refused with a code, before anything is allocated.
func TestReadNPYStrict(t *testing.T) {
	good := "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 64), }\n"
	if _, err := face.ReadNPY(npyOf(good, 512), 1024); err != nil {
		t.Fatal(err)
	}
	if a, err := face.ReadNPY(npyOf("{'shape':(2,64),'descr':'<f8','fortran_order':False}", 1024), 1024); err != nil || a.Rows != 2 {
		t.Fatalf("other order and spaces: %v", err)
	}
	header := func(old, with string) []byte { return npyOf(strings.Replace(good, old, with, 1), 512) }
	for name, c := range map[string]struct {
		b    []byte
		code core.Code
	}{
		"no magic":        {[]byte("PK\x03\x04 and more bytes"), core.Invalid},
		"cut magic":       {[]byte("\x93NUM"), core.Invalid},
		"version 9":       {[]byte("\x93NUMPY\x09\x00\x00\x00"), core.Unsupported},
		"version 1.7":     {[]byte("\x93NUMPY\x01\x07\x00\x00"), core.Unsupported},
		"cut header":      {npyOf(good, 0)[:40], core.Invalid},
		"cut body":        {npyOf(good, 511), core.Invalid},
		"trailing":        {npyOf(good, 513), core.Invalid},
		"v2 long header":  {[]byte("\x93NUMPY\x02\x00\xff\xff\xff\xff"), core.TooLarge},
		"v2 cut":          {[]byte("\x93NUMPY\x02\x00\x10\x00"), core.Invalid},
		"no brace":        {header("{", " "), core.Invalid},
		"unknown key":     {header("{", "{'pickle': True, "), core.Invalid},
		"key twice":       {header("{", "{'descr': '<f8', "), core.Invalid},
		"key missing":     {header("'fortran_order': False, ", ""), core.Invalid},
		"text after":      {header(", }", ", } or 1"), core.Invalid},
		"objects":         {header("<f4", "|O"), core.Unsupported},
		"big-endian":      {header("<f4", ">f4"), core.Unsupported},
		"integers":        {header("<f4", "<i4"), core.Unsupported},
		"Fortran":         {header("False", "True"), core.Unsupported},
		"swapped types":   {header("False", "'<f4'"), core.Invalid},
		"three axes":      {header("(2, 64)", "(2, 8, 8)"), core.Unsupported},
		"zero rows":       {header("(2, 64)", "(0, 64)"), core.Invalid},
		"negative":        {header("(2, 64)", "(-2, 64)"), core.Invalid},
		"overflow":        {header("(2, 64)", "(4294967296, 4294967296)"), core.TooLarge},
		"past 64 bits":    {header("(2, 64)", "(99999999999999999999)"), core.Invalid},
		"product too big": {header("(2, 64)", "(1000, 1000)"), core.TooLarge},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := face.ReadNPY(c.b, 1024)
		runtime.ReadMemStats(&after)
		if core.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
			t.Errorf("%s: %d bytes were allocated before the refusal", name, n)
		}
	}
}

func npz(t testing.TB, entries ...any) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(entries); i += 2 {
		w, err := z.Create(entries[i].(string))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(entries[i+1].([]byte)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func arrayBytes(t testing.TB, rows, cols int, v float64) []byte {
	t.Helper()
	a := &face.Array{Rows: rows, Cols: cols, OneD: rows == 1, Data: make([]float64, rows*cols)}
	for i := range a.Data {
		a.Data[i] = v
	}
	var b bytes.Buffer
	if err := face.WriteNPY(&b, a); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestReadProfileRefusals(t *testing.T) {
	mu, w := arrayBytes(t, 1, 64, 0.1), arrayBytes(t, 64, 64, 0.1)
	if _, err := face.ReadProfile(npz(t, "mu.npy", mu, "W.npy", w, "other.npy", []byte("ignored"))); err != nil {
		t.Fatal(err)
	}
	bomb := make([]byte, 40<<20) // deflates to 40 kB
	for name, c := range map[string]struct {
		b    []byte
		code core.Code
	}{
		"not a zip":  {[]byte("no zip at all"), core.Invalid},
		"no mu":      {npz(t, "W.npy", w), core.Invalid},
		"mu twice":   {npz(t, "mu.npy", mu, "mu.npy", mu), core.Invalid},
		"small mu":   {npz(t, "mu.npy", arrayBytes(t, 1, 63, 0)), core.Invalid},
		"other W":    {npz(t, "mu.npy", mu, "W.npy", arrayBytes(t, 65, 65, 0)), core.Invalid},
		"oblong W":   {npz(t, "mu.npy", mu, "W.npy", arrayBytes(t, 64, 65, 0)), core.Invalid},
		"NaN in W":   {npz(t, "mu.npy", mu, "W.npy", arrayBytes(t, 64, 64, math.NaN())), core.Invalid},
		"bomb":       {npz(t, "W.npy", bomb), core.TooLarge},
		"long model": {npz(t, "mu.npy", mu, "model.txt", bytes.Repeat([]byte("m"), 65)), core.Invalid},
		"many":       {npz(t, many()...), core.TooLarge},
	} {
		if _, err := face.ReadProfile(c.b); core.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	if _, err := face.LoadProfile(t.TempDir()); core.CodeOf(err) != core.Usage {
		t.Errorf("a folder: %v", err)
	}
	if _, err := face.LoadProfile(filepath.Join(t.TempDir(), "none")); core.CodeOf(err) != core.NotFound {
		t.Errorf("no file: %v", err)
	}
	huge := filepath.Join(t.TempDir(), "huge.npz")
	if err := os.WriteFile(huge, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(huge, face.MaxNPZ+1); err != nil {
		t.Fatal(err)
	}
	if _, err := face.LoadProfile(huge); core.CodeOf(err) != core.TooLarge {
		t.Errorf("a huge file: %v", err)
	}
}

func many() (out []any) {
	for i := range 20 {
		out = append(out, strings.Repeat("x", i+1), []byte{})
	}
	return out
}

// What is read can be written and reads the same, bit by bit.
func FuzzReadNPY(f *testing.F) {
	f.Add(npyOf("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }\n", 8))
	f.Add(npyOf("{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }\n", 24))
	f.Add(npyOf("{'descr': '<f8', 'fortran_order': False, 'shape': (), }\n", 8))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := face.ReadNPY(b, 4096)
		if err != nil {
			if a != nil {
				t.Fatal("an array comes with an error")
			}
			return
		}
		var out bytes.Buffer
		if err := face.WriteNPY(&out, a); err != nil {
			t.Fatal(err)
		}
		c, err := face.ReadNPY(out.Bytes(), 4096)
		if err != nil || c.Rows != a.Rows || c.Cols != a.Cols || c.OneD != a.OneD {
			t.Fatalf("written and read again: %v", err)
		}
		for i, v := range a.Data {
			if math.Float64bits(v) != math.Float64bits(c.Data[i]) {
				t.Fatalf("value %d changed", i)
			}
		}
	})
}
