package sscc

import (
	"io"

	"github.com/keposs/keposs/core/oprf"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
)

// NewOPRF returns the suite SM2-SM3 of core/oprf, for Config.OPRF.
func NewOPRF() OPRF { return suite{} }

type suite struct{}

func (suite) Check(blinded protocol.Point) error {
	_, err := sm.ParsePoint(blinded[:])
	return err
}

func (suite) Key(key []byte) (OPRFKey, error) {
	k, err := oprf.NewKey(key)
	if err != nil {
		return nil, err
	}
	return suiteKey{k}, nil
}

type suiteKey struct{ k *oprf.Key }

func (k suiteKey) Public() protocol.Point { return k.k.PublicKey() }
func (k suiteKey) Wipe()                  { k.k.Wipe() }

func (k suiteKey) Evaluate(blinded protocol.Point) (protocol.Point, error) {
	return oprf.Evaluate(k.k, blinded)
}

func (k suiteKey) EvaluateWithProof(rand io.Reader, blinded protocol.Point) (protocol.Point, []byte, error) {
	e, proof, err := oprf.EvaluateWithProof(rand, k.k, blinded)
	return e, proof[:], err
}
