package face_test

import (
	"bytes"
	"context"
	"math"
	"math/bits"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/ppd/face"
	"github.com/keposs/keposs/ppd/ppdtest"
)

// biased tells how many standard deviations the ones of many secrets lie from
// one half, over all bits and at the worst single place.
func biased(secrets [][]byte) (all, place float64) {
	n := len(secrets)
	ones := make([]int, 8*len(secrets[0]))
	total := 0
	for _, s := range secrets {
		for i := range ones {
			b := int(s[i/8] >> (i % 8) & 1)
			ones[i] += b
			total += b
		}
	}
	dev := func(k, n int) float64 { return math.Abs(float64(k)-float64(n)/2) / (math.Sqrt(float64(n)) / 2) }
	for _, k := range ones {
		place = max(place, dev(k, n))
	}
	return dev(total, n*len(ones)), place
}

// What strangers' faces give is of the same shape as the right secret, uniform,
// and different for nearly every stranger. Control: a source that answers with
// zeros, or with a tagged secret, when the face is wrong.
func TestNoOracle(t *testing.T) {
	sk, err := face.SketcherFor(face.Code29, face.Identity(128))
	if err != nil {
		t.Fatal(err)
	}
	gen := ppdtest.NewFaces(128, 21)
	project := func(who int) *[128]float64 {
		s, err := face.Accept(face.Identity(128), gen.Capture(who, 1), nil)
		if err != nil {
			t.Fatal(err)
		}
		p, err := sk.Project(key(1), s.Z)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	helper, right, err := sk.Enrol(bytes.NewReader(bytes.Repeat([]byte{7}, 8)), project(0), [32]byte{})
	if err != nil {
		t.Fatal(err)
	}
	var wrong, zero, tagged [][]byte
	different := map[string]bool{}
	for who := 1; who <= 600; who++ {
		s := sk.Recover(project(who), helper, [32]byte{})
		if s.Len() != right.Len() {
			t.Fatalf("a stranger gets %d bytes, the right face %d", s.Len(), right.Len())
		}
		b := bytes.Clone(s.Bytes())
		wrong, zero = append(wrong, b), append(zero, make([]byte, len(b)))
		tag := bytes.Clone(b)
		tag[5] |= 8
		tagged = append(tagged, tag)
		different[string(b)] = true
	}
	if len(different) < 590 {
		t.Errorf("600 strangers get %d secrets", len(different))
	}
	// Six deviations at one of 256 places come by chance once in two million runs.
	if all, place := biased(wrong); all > 6 || place > 6 {
		t.Errorf("strangers' secrets are biased by %.1f and %.1f deviations", all, place)
	}
	if all, _ := biased(zero); all < 6 {
		t.Error("control: zeros pass for uniform")
	}
	if _, place := biased(tagged); place < 6 {
		t.Error("control: a tag bit passes for uniform")
	}
}

// A renewed record shares nothing with the old one: helpers and secrets differ
// in half their bits, and neither opens with the other's helper or key.
// Control: the same key and the same randomness give the same record.
func TestRenewed(t *testing.T) {
	made := func(k byte, random byte) (core.Enrollment, *face.Source) {
		s, err := face.New(&face.Options{Rand: bytes.NewReader(bytes.Repeat([]byte{random, 3, random ^ 0x5c}, 16))})
		if err != nil {
			t.Fatal(err)
		}
		return enrol(t, s, ppdtest.Face(6), key(k)), s
	}
	differ := func(a, b []byte) (n int) {
		for i := range a {
			n += bits.OnesCount8(a[i] ^ b[i])
		}
		return n
	}
	first, s := made(1, 1)
	second, _ := made(2, 2)
	// Six deviations around half of 128 and of 256 bits.
	if n := differ(first.Helper, second.Helper); n < 30 || n > 98 {
		t.Errorf("the helpers differ in %d of 128 bits", n)
	}
	if n := differ(first.Secret.Bytes(), second.Secret.Bytes()); n < 80 || n > 176 {
		t.Errorf("the secrets differ in %d of 256 bits", n)
	}
	for name, c := range map[string]struct {
		helper []byte
		key    byte
	}{"old helper, new key": {first.Helper, 2}, "new helper, old key": {second.Helper, 1}} {
		got, _ := recovered(t, s, ppdtest.Face(6), key(c.key), c.helper)
		if got.Equal(first.Secret) || got.Equal(second.Secret) {
			t.Errorf("%s opens a record", name)
		}
	}
	if same, _ := made(1, 1); !same.Secret.Equal(first.Secret) || !bytes.Equal(same.Helper, first.Helper) {
		t.Error("control: equal inputs give another record; the test compares noise")
	}
}

// A record made under one profile does not open under another, however near.
func TestProfileBinds(t *testing.T) {
	with := func(change float64) *face.Source {
		p := face.Identity(128)
		p.Mu[0] = change
		s, err := face.New(&face.Options{Profile: p})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	e := enrol(t, with(0), ppdtest.Face(8), key(1))
	open := func(s *face.Source) bool {
		got, _ := recovered(t, s, ppdtest.Face(8), key(1), e.Helper)
		return got.Equal(e.Secret)
	}
	if open(with(1e-12)) {
		t.Error("another calibration opens the record")
	}
	if !open(with(0)) {
		t.Error("control: the same calibration does not open it")
	}
}

// Samples are wiped by the time a call returns, also when a capture is refused
// or the sitting fails.
func TestSamplesWiped(t *testing.T) {
	for name, strangers := range map[string]bool{"enrolled": false, "refused": true} {
		var seen []*secret.Buffer
		n := uint64(0)
		me := ppdtest.Face(9)
		p := core.PrompterFunc(func(ctx context.Context, q core.Prompt) (core.Sample, error) {
			from := me
			if strangers {
				n++
				from = ppdtest.Face(n)
			}
			s, err := from.Ask(ctx, q)
			seen = append(seen, s.Data)
			return s, err
		})
		_, err := source(t).Enroll(ctx, core.EnrollRequest{Label: "face", BindKey: key(1)}, p)
		if (err != nil) != strangers {
			t.Fatalf("%s: %v", name, err)
		}
		for i, b := range seen {
			if b.Len() != 0 {
				t.Errorf("%s: sample %d outlives the call", name, i)
			}
		}
		if len(seen) < 5 {
			t.Errorf("%s: only %d samples were asked for", name, len(seen))
		}
	}
}
