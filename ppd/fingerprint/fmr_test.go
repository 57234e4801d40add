package fingerprint_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/internal/testenv"
	"github.com/keposs/keposs/ppd/fingerprint"
	"github.com/keposs/keposs/ppd/ppdtest"
)

func record(t testing.TB, views ...fingerprint.View) []byte {
	t.Helper()
	b, err := fingerprint.WriteFMR(views)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func view(position uint8, minutiae int) fingerprint.View {
	v := fingerprint.View{Position: position, Quality: 70, Width: 300, Height: 400, DPCMx: 197, DPCMy: 224}
	r := rand.New(rand.NewPCG(uint64(position), uint64(minutiae)))
	for range minutiae {
		v.Minutiae = append(v.Minutiae, fingerprint.Raw{X: uint16(r.IntN(300)), Y: uint16(r.IntN(400)),
			Angle: 2 * math.Pi * float64(r.IntN(256)) / 256, Type: fingerprint.Type(r.IntN(3)), Quality: uint8(r.IntN(101))})
	}
	return v
}

// What is written is read back, several views included, 0 and 255 minutiae too.
func TestRoundTrip(t *testing.T) {
	want := []fingerprint.View{view(1, 40), view(2, 0), view(7, 255)}
	got, err := fingerprint.ParseFMR(record(t, want...))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Error("views changed on the way")
	}
}

// A record written byte by byte after ISO/IEC 19794-2:2005, clause 7, and its
// ANSI INCITS 378-2004 twin, with the short and the long length.
func TestVectors(t *testing.T) {
	body := func(angle byte) []byte {
		return []byte{0x02, 0x00, 80, 2, 0x40, 10, 0x00, 20, angle, 90, 0x80, 30, 0x00, 40, 0, 0, 0, 3, 1, 2, 3}
	}
	size := []byte{0x01, 0x2c, 0x01, 0x90, 0x00, 0xc5, 0x00, 0xc5, 1, 0}
	iso := append([]byte("FMR\x00 20\x00\x00\x00\x00\x2d\x12\x34"), append(size, body(64)...)...)
	ansi := append([]byte("FMR\x00 20\x00\x00\x2f\x00\x01\x00\x02\x12\x34"), append(size, body(45)...)...)
	long := append([]byte("FMR\x00 20\x00\x00\x00\x00\x00\x00\x33\x00\x01\x00\x02\x12\x34"), append(size, body(45)...)...)
	want := []fingerprint.View{{Position: 2, Quality: 80, Width: 300, Height: 400, DPCMx: 197, DPCMy: 197, Minutiae: []fingerprint.Raw{
		{X: 10, Y: 20, Angle: math.Pi / 2, Type: fingerprint.Ending, Quality: 90}, {X: 30, Y: 40, Type: fingerprint.Bifurcation}}}}
	for name, b := range map[string][]byte{"iso": iso, "ansi": ansi, "ansi with a long length": long} {
		got, err := fingerprint.ParseFMR(b)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// Hostile records are refused with a type before anything is built from them.
func TestHostileRecords(t *testing.T) {
	good := record(t, view(1, 30))
	with := func(at int, v ...byte) []byte {
		b := bytes.Clone(good)
		copy(b[at:], v)
		return b
	}
	size := func(b []byte) []byte {
		binary.BigEndian.PutUint32(b[8:], uint32(len(b)))
		return b
	}
	twice := append(bytes.Clone(good), good[24:]...)
	twice[22] = 2
	for name, c := range map[string]struct {
		b    []byte
		code core.Code
	}{
		"empty":             {nil, core.Invalid},
		"magic":             {with(0, 'X'), core.Invalid},
		"other version":     {with(5, '3'), core.Invalid},
		"zero resolution":   {with(18, 0, 0), core.Invalid},
		"huge resolution":   {with(20, 0xff, 0xff), core.Invalid},
		"no image":          {with(14, 0, 0), core.Invalid},
		"no views":          {with(22, 0), core.Invalid},
		"255 views":         {with(22, 255), core.Invalid},
		"length short":      {with(8, 0, 0, 0, 24), core.Invalid},
		"length long":       {with(8, 0xff, 0xff, 0xff, 0xff), core.Invalid},
		"truncated":         {size(bytes.Clone(good[:len(good)-3])), core.Invalid},
		"trailing":          {size(append(bytes.Clone(good), 0)), core.Invalid},
		"count beyond end":  {with(27, 255), core.Invalid},
		"count too small":   {with(27, 29), core.Invalid},
		"extended data":     {with(len(good)-2, 0xff, 0xff), core.Invalid},
		"outside the image": {with(28, 0x3f, 0xff), core.Invalid},
		"type 3":            {with(28, 0xc0, 1), core.Invalid},
		"reserved bits":     {with(30, 0x40, 1), core.Invalid},
		"quality 101":       {with(33, 101), core.Invalid},
		"position 11":       {with(24, 11), core.Invalid},
		"overlapping views": {size(twice), core.Invalid},
		"huge":              {make([]byte, fingerprint.MaxRecord+1), core.TooLarge},
	} {
		if v, err := fingerprint.ParseFMR(c.b); !errors.Is(err, c.code) || v != nil {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
}

func TestWriteRefusals(t *testing.T) {
	other := view(2, 3)
	other.Width = 299
	outside := view(1, 1)
	outside.Minutiae[0].X = 300
	for name, vs := range map[string][]fingerprint.View{"none": nil, "two headers": {view(1, 3), other},
		"too many minutiae": {view(1, 256)}, "outside": {outside}, "too many views": make([]fingerprint.View, 11)} {
		if _, err := fingerprint.WriteFMR(vs); !errors.Is(err, core.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Every record of the given sets is read, and writing it again changes nothing
// that is read.
func TestRealRecords(t *testing.T) {
	dir := testenv.Data(t, "fingerprint")
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.fmr"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d records, %v", len(files), err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		v, err := fingerprint.ParseFMR(b)
		if err != nil {
			t.Errorf("%s: %v", filepath.Base(f), err)
			continue
		}
		again, err := fingerprint.ParseFMR(record(t, v...))
		if err != nil || !reflect.DeepEqual(again, v) {
			t.Errorf("%s changes when written again: %v", filepath.Base(f), err)
		}
	}
}

// req: TK-12, G-7.3-05
func FuzzParseFMR(f *testing.F) {
	f.Add(record(f, view(1, 30)))
	f.Add(record(f, view(1, 0), view(2, 255)))
	f.Add(ppdtest.NewFingers(1).Impression(1, 1))
	f.Add([]byte("FMR\x00 20\x00\x00\x2f"))
	f.Fuzz(func(t *testing.T, b []byte) {
		vs, err := fingerprint.ParseFMR(b)
		if (err == nil) == (vs == nil) {
			t.Fatal("views and error, or neither")
		}
		total := 0
		for _, v := range vs {
			total += len(v.Minutiae)
		}
		if 6*total > len(b) {
			t.Fatalf("%d minutiae from %d bytes", total, len(b))
		}
		if err == nil {
			if _, err := fingerprint.WriteFMR(vs); err != nil {
				t.Fatalf("read but not written: %v", err)
			}
		}
	})
}
