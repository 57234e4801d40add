package mstcc_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/oprf"
	"github.com/keposs/keposs/core/protocol"
)

// What the terminal computes alone at enrolment is what it gets with SS-CC's
// help later; any other answer, key or proof is Refused.
// req: X-14
func TestOPRFPort(t *testing.T) {
	o := mstcc.NewOPRF()
	key, err := oprf.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	scalar := key.Bytes()
	defer scalar.Wipe()
	in := []byte("thirty-two bytes of oprf input..")
	want, err := o.FullEvaluate(scalar.Bytes(), in)
	if err != nil {
		t.Fatal(err)
	}
	b, blinding, err := o.Blind(nil, in)
	if err != nil {
		t.Fatal(err)
	}
	defer blinding.Wipe()
	e, proof, err := oprf.EvaluateWithProof(nil, key, b)
	if err != nil {
		t.Fatal(err)
	}
	pub := protocol.Point(key.PublicKey())
	for _, p := range [][]byte{nil, proof[:]} {
		if got, err := blinding.Finalize(e, pub, p); err != nil || !bytes.Equal(got, want) {
			t.Errorf("finalize with proof %v: %v", p != nil, err)
		}
	}
	other, err := oprf.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	wrong, wrongProof, err := oprf.EvaluateWithProof(nil, other, b)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := blinding.Finalize(wrong, pub, nil); err != nil || bytes.Equal(got, want) {
		t.Errorf("another key without a proof gives another output: %v", err)
	}
	flipped := proof
	flipped[40] ^= 1
	for name, c := range map[string]struct {
		e     protocol.Point
		proof []byte
	}{
		"another key":       {wrong, wrongProof[:]},
		"a flipped proof":   {e, flipped[:]},
		"a short proof":     {e, proof[:63]},
		"an empty proof":    {e, []byte{}},
		"no point":          {protocol.Point{}, nil},
		"no point, a proof": {protocol.Point{2, 32: 5}, proof[:]},
	} {
		if u, err := blinding.Finalize(c.e, pub, c.proof); !errors.Is(err, core.Refused) || u != nil {
			t.Errorf("%s: %v, want refused", name, err)
		}
	}
}
