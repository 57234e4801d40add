package mstcc

import (
	"io"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/oprf"
	"github.com/keposs/keposs/core/protocol"
)

// NewOPRF returns the suite SM2-SM3 of core/oprf, for Config.OPRF.
func NewOPRF() OPRF { return suite{} }

type suite struct{}

// FullEvaluate implements mf.OPRF: enrolment, where the terminal deals the key.
func (suite) FullEvaluate(key, input []byte) ([]byte, error) {
	k, err := oprf.NewKey(key)
	if err != nil {
		return nil, err
	}
	defer k.Wipe()
	u, err := oprf.FullEvaluate(k, input)
	if err != nil {
		return nil, err
	}
	return u.Bytes(), nil
}

// Blind implements OPRF.
func (suite) Blind(rand io.Reader, input []byte) (protocol.Point, Blinding, error) {
	b, err := oprf.Blind(rand, input)
	if err != nil {
		return protocol.Point{}, nil, err
	}
	return b.Element(), blinding{b}, nil
}

type blinding struct{ b *oprf.Blinding }

// Finalize implements Blinding. A proof of another length than oprf.ProofSize
// is a wrong one; an element that is no point is the server's fault as well.
func (f blinding) Finalize(evaluated, pub protocol.Point, proof []byte) ([]byte, error) {
	const op = "mstcc: finalize"
	if proof != nil {
		if len(proof) != oprf.ProofSize {
			return nil, core.Errorf(core.Refused, op, "a proof of %d bytes, want %d", len(proof), oprf.ProofSize)
		}
		if err := oprf.VerifyProof(pub, f.b.Element(), evaluated, [oprf.ProofSize]byte(proof)); err != nil {
			return nil, core.Errorf(core.Refused, op, "%w", err)
		}
	}
	u, err := f.b.Finalize(evaluated)
	if err != nil {
		if core.CodeOf(err) == core.Invalid {
			err = core.Errorf(core.Refused, op, "%w", err)
		}
		return nil, err
	}
	return u.Bytes(), nil
}

// Wipe implements Blinding.
func (f blinding) Wipe() { f.b.Wipe() }
