package sm

import (
	"crypto/ecdsa"
	"math/big"
)

// ECDSA returns p as the type that certificate libraries know SM2 keys by: an
// *ecdsa.PublicKey on gmsm's SM2 curve, which smx509 tells from the others by
// its curve. It is nil for the zero key. The functions of crypto/ecdsa compute
// something else than SM2 on it and must not be called.
func (p PublicKey) ECDSA() *ecdsa.PublicKey {
	if p.IsZero() {
		return nil
	}
	return &ecdsa.PublicKey{Curve: curve, X: new(big.Int).SetBytes(p.xy[:32]), Y: new(big.Int).SetBytes(p.xy[32:])} //nolint:staticcheck // the constructor without big.Int knows NIST curves only
}
