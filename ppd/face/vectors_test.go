package face_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/internal/testenv"
	"github.com/keposs/keposs/ppd/face"
)

var update = flag.Bool("update", false, "write the vectors anew: only before the format is frozen")

// vector is every stage of one enrolment and one recovery. Lists of floats are
// given by SM3 over their big-endian float64 values and by their first value.
type vector struct {
	Dim      int    `json:"dim"`
	Whitened bool   `json:"whitened"`
	Code     uint32 `json:"code"`
	Profile  string `json:"profile_hash"`

	Capture   string `json:"capture"`   // captures of enrolment, transformed, one after the other
	Template  string `json:"template"`  // fused
	Projected string `json:"projected"` // rotated, 128 values
	Helper    string `json:"helper"`
	Query     string `json:"query"` // one other capture, transformed and rotated
	Word      string `json:"word"`  // decoded
	Secret    string `json:"secret"`
}

// lattice gives exact values without a random generator: integers / 4096.
func lattice(n int, seed uint32) []float64 {
	v := make([]float64, n)
	for i := range v {
		seed = seed*1664525 + 1013904223
		v[i] = float64(int32(seed>>16)-32768) / 4096
	}
	return v
}

func floatsOf(v []float64) string {
	var b []byte
	for _, x := range v {
		b = binary.BigEndian.AppendUint64(b, math.Float64bits(x))
	}
	h := sm.SM3(b)
	return hex.EncodeToString(h[:]) + " " + hex.EncodeToString(b[:8])
}

func makeVector(t *testing.T, dim int, whitened bool, code face.Code) vector {
	t.Helper()
	p := face.Identity(dim)
	if whitened {
		p.Model = "vector-model"
		p.Mu = lattice(dim, 5)
		p.W = lattice(dim*dim, 6)
		for i := range p.Mu {
			p.Mu[i] /= 64
		}
	}
	sk, err := face.SketcherFor(code, p)
	if err != nil {
		t.Fatal(err)
	}
	base := lattice(dim, 7)
	shot := func(n uint32) face.Shot {
		x := lattice(dim, 100+n)
		for i := range x {
			x[i] = base[i] + x[i]/4
		}
		s, err := face.Accept(p, x, nil)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	var shots []face.Shot
	var all []float64
	for n := range uint32(3) {
		shots = append(shots, shot(n))
		all = append(all, shots[n].Z...)
	}
	h := p.Hash()
	v := vector{Dim: dim, Whitened: whitened, Code: uint32(code), Profile: hex.EncodeToString(h[:]), Capture: floatsOf(all)}
	template := face.Fuse(shots)
	v.Template = floatsOf(template)
	k := key(9)
	pr, err := sk.Project(k, template)
	if err != nil {
		t.Fatal(err)
	}
	v.Projected = floatsOf(pr[:])
	helper, sec, err := sk.Enrol(bytes.NewReader([]byte{1, 2, 3, 4, 5, 6, 7, 8}), pr, h)
	if err != nil {
		t.Fatal(err)
	}
	v.Helper = hex.EncodeToString(helper[:])
	q, err := sk.Project(k, shot(9).Z)
	if err != nil {
		t.Fatal(err)
	}
	v.Query = floatsOf(q[:])
	w := sk.Decode(q, helper).Bytes()
	v.Word = hex.EncodeToString(w[:])
	got := sk.Recover(q, helper, h)
	v.Secret = hex.EncodeToString(got.Bytes())
	if !got.Equal(sec) {
		t.Errorf("dim %d: the vector's query does not open its record", dim)
	}
	return v
}

// Golden values of every stage: a change, or a platform that rounds otherwise,
// would lock every enrolled face out.
func TestVectors(t *testing.T) {
	path := filepath.Join("testdata", "vectors.json")
	var got []vector
	for _, dim := range []int{64, 128, 256, 512} {
		got = append(got, makeVector(t, dim, false, face.Code29), makeVector(t, dim, true, face.Code36))
	}
	raw, err := json.MarshalIndent(got, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	raw = append(raw, '\n')
	if *update {
		if err := os.WriteFile(path, raw, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(file, raw) {
		return
	}
	var want []vector
	if err := json.Unmarshal(file, &want); err != nil {
		t.Fatal(err)
	}
	for i, g := range got {
		if i >= len(want) || g != want[i] {
			t.Errorf("vector %d: %+v differs from the file", i, g)
		}
	}
}

// The arm64 compiler fuses x*y+z unless the product is rounded first. None of
// its fused instructions may stand in these packages.
func TestNoFusedArithmetic(t *testing.T) {
	testenv.NeedLevel(t, 1)
	for _, pkg := range []string{"./ppd/face", "./ppd/fuzzy"} {
		c := exec.Command("go", "build", "-gcflags=-S", pkg)
		c.Dir = testenv.Root()
		c.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v", pkg, err)
		}
		text := string(out)
		if !strings.Contains(text, "FMULD") && pkg == "./ppd/face" {
			t.Fatalf("%s: no arm64 listing", pkg)
		}
		for _, bad := range []string{"FMADD", "FMSUB", "FNMADD", "FNMSUB"} {
			if strings.Contains(text, bad) {
				t.Errorf("%s: %s in the arm64 code: round the product with float64() before adding", pkg, bad)
			}
		}
	}
}
