package fuzzy

import (
	"io"

	"github.com/keposs/keposs/core"
)

// Bounds of a vault. The degree is the number of features it is built from (a
// shorter set is filled with random elements) and the number of coefficients
// stored, so every vault of one kind has one length.
const (
	MinVaultK      = 6
	MaxVaultK      = 24
	MaxVaultDegree = 128
)

// A Vault is the improved fuzzy vault of Dodis, Ostrovsky, Reyzin and Smith
// (SIAM J. Comput. 38(1), 2008, section 5.2): V = f + ∏ (X − a) over the
// features a, with no chaff. f is the secret polynomial of k coefficients whose
// two highest are zero, so that k genuine points are recognised without a stored
// hash: a wrong set of k passes with probability 2⁻³². V is monic; the slice
// holds its lower coefficients, lowest first. They look uniform, and every value
// of them is a vault.
type Vault []uint16

// Lock hides a random polynomial under features: distinct, non-zero, at least k
// and at most degree of them. forbidden tells which elements belong to some
// feature and must not be used as filling; it may be nil. Lock returns the vault
// and f's k−2 coefficients, lowest first, which the caller wipes.
func Lock(r io.Reader, features []uint16, k, degree int, forbidden func(uint16) bool) (Vault, []uint16, error) {
	const op = "fuzzy: vault"
	if k < MinVaultK || k > MaxVaultK || degree > MaxVaultDegree || len(features) < k || len(features) > degree {
		return nil, nil, core.Errorf(core.Invalid, op, "%d features for k = %d and degree %d, want k to the degree", len(features), k, degree)
	}
	used := make(map[uint16]bool, degree)
	defer clear(used)
	roots := make([]uint16, 0, degree)
	for _, a := range features {
		if a == 0 || used[a] {
			return nil, nil, core.Errorf(core.Invalid, op, "features must be distinct and not zero")
		}
		used[a] = true
		roots = append(roots, a)
	}
	for len(roots) < degree {
		a, err := element(r)
		if err != nil {
			return nil, nil, err
		}
		if a != 0 && !used[a] && (forbidden == nil || !forbidden(a)) {
			used[a] = true
			roots = append(roots, a)
		}
	}
	f := make([]uint16, k-2)
	for i := range f {
		var err error
		if f[i], err = element(r); err != nil {
			return nil, nil, err
		}
	}
	v := Vault(FromRoots(roots)[:degree])
	clear(roots)
	for i := range f {
		v[i] ^= f[i]
	}
	return v, f, nil
}

func element(r io.Reader) (uint16, error) {
	var b [2]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return 0, core.Errorf(core.Internal, "fuzzy: vault", "random bytes: %w", err)
	}
	return uint16(b[0])<<8 | uint16(b[1]), nil
}

// At evaluates V.
func (v Vault) At(x uint16) uint16 {
	y := uint16(1)
	for i := len(v) - 1; i >= 0; i-- {
		y = Mul(y, x) ^ v[i]
	}
	return y
}

// Append appends the coefficients big-endian, two bytes each.
func (v Vault) Append(b []byte) []byte {
	for _, c := range v {
		b = append(b, byte(c>>8), byte(c))
	}
	return b
}

// VaultOf is the inverse of Append; an odd or empty input, or one beyond
// MaxVaultDegree, is Invalid. Everything else is a vault.
func VaultOf(b []byte) (Vault, error) {
	if len(b) == 0 || len(b)%2 != 0 || len(b) > 2*MaxVaultDegree {
		return nil, core.Errorf(core.Invalid, "fuzzy: vault", "%d bytes, want an even number up to %d", len(b), 2*MaxVaultDegree)
	}
	v := make(Vault, len(b)/2)
	for i := range v {
		v[i] = uint16(b[2*i])<<8 | uint16(b[2*i+1])
	}
	return v, nil
}
