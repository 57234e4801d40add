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

func (suite) Public(key []byte) (protocol.Point, error) {
	k, err := oprf.NewKey(key)
	if err != nil {
		return protocol.Point{}, err
	}
	defer k.Wipe()
	return k.PublicKey(), nil
}

func (suite) Evaluate(key []byte, blinded protocol.Point) (protocol.Point, error) {
	k, err := oprf.NewKey(key)
	if err != nil {
		return protocol.Point{}, err
	}
	defer k.Wipe()
	return oprf.Evaluate(k, blinded)
}

func (suite) Prove(rand io.Reader, key []byte, blinded, evaluated protocol.Point) ([]byte, error) {
	k, err := oprf.NewKey(key)
	if err != nil {
		return nil, err
	}
	defer k.Wipe()
	_, proof, err := oprf.EvaluateWithProof(rand, k, blinded)
	return proof[:], err
}
