package oprf

import (
	"encoding/hex"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/sm"
)

// SelfTest is the known answer of the suite: the first vector of
// testdata/sm2-sm3-voprf.json, with its proof, whose products are computed
// side by side where the processor can. It draws no randomness.
// req: G-7.10-04
func SelfTest() sm.KAT {
	const (
		key       = "af931673f0e3c35266fd46f290a90bb6dbe0a18a39955e4fdaf059dcd100d4e0"
		blinded   = "03fba0477c7bab7bf1f692ae665a20cf652fc1836adebfb7259de3453212dbdb15"
		evaluated = "0367185779d6945a313c0566e3c17110a65431276a9b441fe65d5dda6ee349df0f"
		nonce     = "f9db001266677f62c095021db018cd8cbb55941d4073698ce45c405d1348b7b1"
		proof     = "3317e834ff7dcbcbca6703a543d204a10185bfde60fb0e193a9c7d63b0c553e03006344465b907a352723f91972cb16ffc1cf686fe4c0411994637c7ed6ccd8c"
		output    = "67ebd77a743fec75002ebf2561e1b1ee1b862ff0088bb790d837fbccfb9898cb"
	)
	return sm.KnownAnswer("oprf-sm2-sm3", evaluated+output, func() ([]byte, error) {
		scalar, err := hex.DecodeString(key)
		if err != nil {
			return nil, err
		}
		k, err := NewKey(scalar)
		if err != nil {
			return nil, err
		}
		defer k.Wipe()
		var b, e [ElementSize]byte
		var p [ProofSize]byte
		var r [ScalarSize]byte
		for text, dst := range map[string][]byte{blinded: b[:], evaluated: e[:], proof: p[:], nonce: r[:]} {
			if _, err := hex.Decode(dst, []byte(text)); err != nil {
				return nil, err
			}
		}
		if err := VerifyProof(k.PublicKey(), b, e, p); err != nil {
			return nil, err
		}
		p[0] ^= 1
		if VerifyProof(k.PublicKey(), b, e, p) == nil {
			return nil, core.Errorf(core.Integrity, "oprf: self-test", "a changed proof is accepted")
		}
		p[0] ^= 1
		if made, err := proveWith(k, &r, b, e); err != nil || made != p {
			return nil, core.Errorf(core.Integrity, "oprf: self-test", "the proof made is another one")
		}
		got, err := Evaluate(k, b)
		if err != nil {
			return nil, err
		}
		u, err := FullEvaluate(k, []byte{0})
		return append(got[:], u.Bytes()...), err
	})
}

// proveWith is the proof of EvaluateWithProof with a nonce that is known.
func proveWith(k *Key, r *[ScalarSize]byte, b, e [ElementSize]byte) (proof [ProofSize]byte, err error) {
	const op = "oprf: self-test"
	c, err := sm2.parse(op, "the blinded element", &b)
	if err != nil {
		return proof, err
	}
	d, err := sm2.parse(op, "the evaluated element", &e)
	if err != nil {
		return proof, err
	}
	if !sm2.prove(&proof, &k.s.k, r, &k.s.pub, []point{c}, []point{d}) {
		return proof, core.Errorf(core.Integrity, op, "a point of the proof is the identity")
	}
	return proof, nil
}
