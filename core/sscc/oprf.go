package sscc

import (
	"io"

	"github.com/keposs/keposs/core/oprf"
	"github.com/keposs/keposs/core/protocol"
)

// NewOPRF returns the suite SM2-SM3 of core/oprf, for Config.OPRF.
func NewOPRF() OPRF { return suite{} }

type suite struct{}

func (suite) Check(blinded protocol.Point) (oprf.Element, error) { return oprf.ParseElement(blinded) }

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

func (k suiteKey) Evaluate(blinded oprf.Element) (protocol.Point, error) {
	return k.k.Evaluate(blinded)
}

func (k suiteKey) EvaluateWithProof(rand io.Reader, blinded oprf.Element) (protocol.Point, []byte, error) {
	e, proof, err := k.k.EvaluateWithProof(rand, blinded)
	return e, proof[:], err
}
