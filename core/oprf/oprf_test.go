package oprf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/sm"
)

func newKey(t testing.TB) *Key {
	t.Helper()
	k, err := GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestRoundTrip(t *testing.T) {
	k := newKey(t)
	for n := range 64 {
		in := bytes.Repeat([]byte{byte(n)}, n)
		b, err := Blind(nil, in)
		if err != nil {
			t.Fatal(err)
		}
		e, proof, err := EvaluateWithProof(nil, k, b.Element())
		if err != nil {
			t.Fatal(err)
		}
		if e2, err := Evaluate(k, b.Element()); err != nil || e2 != e {
			t.Fatalf("Evaluate %x %v", e2, err)
		}
		if err := VerifyProof(k.PublicKey(), b.Element(), e, proof); err != nil {
			t.Fatal(err)
		}
		out, err := b.Finalize(e)
		if err != nil {
			t.Fatal(err)
		}
		full, err := FullEvaluate(k, in)
		if err != nil || !full.Equal(out) {
			t.Fatalf("FullEvaluate %x %v, want %x", full.Bytes(), err, out.Bytes())
		}
		again, err := Blind(nil, in)
		if err != nil || again.Element() == b.Element() {
			t.Fatalf("two blindings of one input are the same: %v", err)
		}
		// another key: another output, and the proof names it
		other := newKey(t)
		e3, proof3, _ := EvaluateWithProof(nil, other, b.Element())
		if out3, _ := b.Finalize(e3); out3.Equal(out) {
			t.Fatal("two keys give one output")
		}
		if err := VerifyProof(k.PublicKey(), b.Element(), e3, proof3); !errors.Is(err, core.Integrity) {
			t.Fatalf("a wrong key passes: %v", err)
		}
	}
}

func TestOwnArithmeticAgainstGmsm(t *testing.T) {
	for range 200 {
		a, b := newKey(t), newKey(t)
		q, ok := sm2.check(bytes.Clone(func() []byte { p := a.PublicKey(); return p[:] }()))
		if !ok {
			t.Fatal("check")
		}
		var r proj
		var got point
		sm2.load(&r, &q)
		sm2.multProj(&r, &b.s.k, &r)
		want, _ := sm2.mult(&b.s.k, &q)
		if !sm2.store(&got, &r) || got != want {
			t.Fatalf("%x·%x = %x, want %x", b.s.k, q, got, want)
		}
	}
	gen := sm2.generator()
	n := new(big.Int).SetBytes(func() []byte { v := sm.GroupOrder(); return v[:] }())
	for _, v := range []*big.Int{big.NewInt(0), big.NewInt(1), big.NewInt(2), big.NewInt(16), new(big.Int).Sub(n, big.NewInt(1)), n, new(big.Int).Add(n, big.NewInt(1))} {
		k := [32]byte(v.FillBytes(make([]byte, 32)))
		var r proj
		var got point
		sm2.load(&r, &gen)
		sm2.multProj(&r, &k, &r)
		want, ok := sm2.mult(&k, &gen)
		if sm2.store(&got, &r) != ok || (ok && got != want) {
			t.Errorf("%x·G = %x, want %x (%v)", k, got, want, ok)
		}
	}
}

func (g *group) generator() point {
	q, _ := g.baseMult(&[32]byte{31: 1})
	return q
}

// badElements are encodings that no receiver may take.
func badElements() map[string][33]byte {
	p := sm.FieldPrime()
	out := map[string][33]byte{"zero": {}, "identity": {0: 2}, "x = p": {}, "all ones": {}}
	v := [33]byte{0: 2}
	copy(v[1:], p[:])
	out["x = p"] = v
	out["all ones"] = [33]byte(bytes.Repeat([]byte{0xff}, 33))
	gen := sm2.generator()
	g := gen.compress()
	g[0] = 4
	out["prefix 4"] = g
	for x := byte(0); ; x++ { // an x with no point
		v := [33]byte{0: 3, 32: x}
		if _, ok := sm2.check(v[:]); !ok {
			out["off the curve"] = v
			break
		}
	}
	delete(out, "identity")
	return out
}

func TestBadElementsAreRefused(t *testing.T) {
	k := newKey(t)
	b, err := Blind(nil, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	good, proof, err := EvaluateWithProof(nil, k, b.Element())
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range badElements() {
		_, e1 := Evaluate(k, bad)
		_, _, e2 := EvaluateWithProof(nil, k, bad)
		_, e3 := b.Finalize(bad)
		e4 := VerifyProof(bad, b.Element(), good, proof)
		e5 := VerifyProof(k.PublicKey(), bad, good, proof)
		e6 := VerifyProof(k.PublicKey(), b.Element(), bad, proof)
		for i, err := range []error{e1, e2, e3, e4, e5, e6} {
			if !errors.Is(err, core.Invalid) {
				t.Errorf("%s, call %d: %v", name, i, err)
			}
		}
	}
}

func TestKeys(t *testing.T) {
	n := sm.GroupOrder()
	for _, bad := range [][]byte{nil, make([]byte, 31), make([]byte, 32), n[:], bytes.Repeat([]byte{0xff}, 32)} {
		if k, err := NewKey(bad); !errors.Is(err, core.Invalid) {
			t.Errorf("NewKey(%x) = %v, %v", bad, k, err)
		}
	}
	k := newKey(t)
	s := k.Bytes()
	again, err := NewKey(s.Bytes())
	if err != nil || again.PublicKey() != k.PublicKey() {
		t.Fatal("a key does not survive its bytes", err)
	}
	b, _ := Blind(nil, []byte("x"))
	text := fmt.Sprintf("%v %+v %#v %x %s", k, *k, k, b, b)
	j, _ := json.Marshal(struct{ K, B any }{k, b})
	text += string(j)
	if bytes.Contains([]byte(text), []byte(fmt.Sprintf("%x", s.Bytes()[:4]))) || !bytes.Contains([]byte(text), []byte("[secret]")) {
		t.Errorf("printed: %s", text)
	}
	k.Wipe()
	b.Wipe()
	if _, err := Evaluate(k, b.Element()); !errors.Is(err, core.Closed) {
		t.Errorf("wiped key: %v", err)
	}
	if _, err := b.Finalize(again.PublicKey()); !errors.Is(err, core.Closed) {
		t.Errorf("wiped blinding: %v", err)
	}
	if _, err := Blind(nil, make([]byte, MaxInput+1)); !errors.Is(err, core.Usage) {
		t.Errorf("long input: %v", err)
	}
}

func FuzzElements(f *testing.F) {
	gen := sm2.generator()
	g := gen.compress()
	f.Add(g[:])
	for _, b := range badElements() {
		f.Add(b[:])
	}
	k := newKey(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) != ElementSize {
			return
		}
		e, err := Evaluate(k, [33]byte(in))
		if err != nil {
			if e != [33]byte{} {
				t.Error("an error comes with a value")
			}
			return
		}
		q, ok := sm2.check(in)
		if c := q.compress(); !ok || !bytes.Equal(c[:], in) {
			t.Errorf("%x is accepted and is not canonical", in)
		}
	})
}

func FuzzProof(f *testing.F) {
	k := newKey(f)
	b, err := Blind(nil, []byte("x"))
	if err != nil {
		f.Fatal(err)
	}
	e, proof, err := EvaluateWithProof(nil, k, b.Element())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(proof[:])
	f.Add(make([]byte, 64))
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) != ProofSize || bytes.Equal(in, proof[:]) {
			return
		}
		if err := VerifyProof(k.PublicKey(), b.Element(), e, [64]byte(in)); err == nil {
			t.Errorf("a forged proof verifies: %x", in)
		}
	})
}

func BenchmarkOPRF(b *testing.B) {
	k := newKey(b)
	in := []byte("benchmark input")
	bl, _ := Blind(nil, in)
	el := bl.Element()
	ev, proof, _ := EvaluateWithProof(nil, k, el)
	p, _ := sm.ParsePoint(el[:])
	for _, c := range []struct {
		name string
		f    func()
	}{
		{"scalar-mult", func() { p.Mult(&k.s.k) }},
		{"evaluate", func() { _, _ = Evaluate(k, el) }},
		{"evaluate-dleq", func() { _, _, _ = EvaluateWithProof(nil, k, el) }},
		{"verify-proof", func() { _ = VerifyProof(k.PublicKey(), el, ev, proof) }},
		{"blind", func() { _, _ = Blind(nil, in) }},
		{"finalize", func() { _, _ = bl.Finalize(ev) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				c.f()
			}
		})
	}
}
