package sm

import (
	"bytes"
	"encoding/pem"
	"math/big"

	"github.com/emmansun/gmsm/sm2/sm2ec"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/internal/mont"
)

// PublicKey is a point of the SM2 curve other than the identity. It is
// comparable; the zero value is no point and every use of it fails.
type PublicKey struct {
	xy [64]byte // affine x ‖ y, big-endian, canonical
}

var (
	curve = sm2ec.P256()
	order = mont.New(GroupOrder())
	field = mont.New(FieldPrime())

	curveB = func() (e mont.Elem) {
		b := CurveB()
		field.SetBytes(&e, &b)
		return e
	}()
)

// ParsePoint reads a point of 33 (02 or 03 ‖ x) or 65 bytes (04 ‖ x ‖ y),
// SEC 1 2.3.4 without the identity and without the hybrid form. Coordinates
// must be below p and the point on the curve; as the cofactor is 1 it then has
// order n. Errors: Invalid.
func ParsePoint(b []byte) (PublicKey, error) {
	const op = "sm: parse point"
	var p PublicKey
	var ok uint64
	switch {
	case len(b) == 65 && b[0] == 4:
		p.xy = [64]byte(b[1:])
		ok = p.onCurve()
	case len(b) == 33 && (b[0] == 2 || b[0] == 3):
		ok = p.decompress((*[33]byte)(b))
	default:
		return PublicKey{}, core.Errorf(core.Invalid, op, "%d bytes: want 02 or 03 and 32 bytes, or 04 and 64 bytes", len(b))
	}
	return p.taken(ok)
}

// taken is p when ok is 1 and the multiplications take it too: gmsm v0.44.0 on
// amd64 reduces some rare values wrongly (found by fuzzing, testdata of
// core/oprf) and panics over a point it takes for none.
func (p *PublicKey) taken(ok uint64) (PublicKey, error) {
	const op = "sm: parse point"
	if ok != 1 {
		return PublicKey{}, core.Errorf(core.Invalid, op, "not the canonical form of a point of the SM2 curve")
	}
	if x, y := p.affine(); !curve.IsOnCurve(x, y) { //nolint:staticcheck // gmsm's curve has no crypto/ecdh door
		return PublicKey{}, core.Errorf(core.Invalid, op, "the curve arithmetic does not take this point")
	}
	return *p, nil
}

// onCurve is y² = x³ − 3x + b for coordinates below p.
func (p *PublicKey) onCurve() uint64 {
	var x, y, l, r mont.Elem
	below := field.SetBytes(&x, (*[32]byte)(p.xy[:32])) & field.SetBytes(&y, (*[32]byte)(p.xy[32:]))
	field.Mul(&l, &y, &y)
	rightSide(&r, &x)
	return below & mont.Equal(&l, &r)
}

// fromAffine takes gmsm's coordinates, (0, 0) standing for the identity, and
// wipes them: they may be a secret point. ok is false for the identity.
func fromAffine(x, y *big.Int) (p PublicKey, ok bool) {
	x.FillBytes(p.xy[:32])
	y.FillBytes(p.xy[32:])
	wipeInt(x)
	wipeInt(y)
	return p, !p.IsZero()
}

func wipeInt(v *big.Int) {
	w := v.Bits()
	clear(w[:cap(w)])
}

// affine gives gmsm's coordinates of p. gmsm panics on points off the curve,
// so nothing but a checked PublicKey may come here.
func (p *PublicKey) affine() (x, y *big.Int) {
	return new(big.Int).SetBytes(p.xy[:32]), new(big.Int).SetBytes(p.xy[32:])
}

// baseMult returns [k]G; ok is false when that is the identity.
func baseMult(k *[32]byte) (PublicKey, bool) {
	return fromAffine(curve.ScalarBaseMult(k[:])) //nolint:staticcheck // see taken
}

// mult returns [k]p for a p that is not zero; ok is false for the identity.
func (p *PublicKey) mult(k *[32]byte) (PublicKey, bool) {
	x, y := p.affine()
	return fromAffine(curve.ScalarMult(x, y, k[:])) //nolint:staticcheck // see taken
}

// combined returns [s]G + [t]p in variable time; both scalars are public.
func (p *PublicKey) combined(s, t *[32]byte) (PublicKey, bool) {
	x, y := p.affine()
	c := curve.(interface {
		CombinedMult(x, y *big.Int, s, t []byte) (*big.Int, *big.Int)
	})
	return fromAffine(c.CombinedMult(x, y, s[:], t[:]))
}

// Mult returns [k]p for a scalar of 32 big-endian bytes, taken modulo n, in
// constant time, and leaves no copy of k behind. ok is false when p is zero or
// the product is the identity. core/oprf evaluates with it.
func (p PublicKey) Mult(k *[32]byte) (q PublicKey, ok bool) {
	if p.IsZero() {
		return PublicKey{}, false
	}
	guarded(func() { q, ok = p.mult(k) })
	return q, ok
}

// BaseMult returns [k]G under the rules of Mult.
func BaseMult(k *[32]byte) (q PublicKey, ok bool) {
	guarded(func() { q, ok = baseMult(k) })
	return q, ok
}

// Add returns p + q for public points; ok is false when one of them is zero or
// the sum is the identity.
func (p PublicKey) Add(q PublicKey) (PublicKey, bool) {
	if p.IsZero() || q.IsZero() {
		return PublicKey{}, false
	}
	px, py := p.affine()
	qx, qy := q.affine()
	return fromAffine(curve.Add(px, py, qx, qy)) //nolint:staticcheck // see taken
}

// Compressed returns 02 or 03 ‖ x; for the zero value 33 zero bytes.
func (p PublicKey) Compressed() (out [33]byte) {
	if p.IsZero() {
		return out
	}
	out[0] = 2 | p.xy[63]&1
	copy(out[1:], p.xy[:32])
	return out
}

// Uncompressed returns 04 ‖ x ‖ y; for the zero value 65 zero bytes.
func (p PublicKey) Uncompressed() (out [65]byte) {
	if p.IsZero() {
		return out
	}
	out[0] = 4
	copy(out[1:], p.xy[:])
	return out
}

// IsZero reports whether p is the zero value. No point of the curve has both
// coordinates 0, as b is not 0.
func (p PublicKey) IsZero() bool { return p == PublicKey{} }

// spkiHead is the DER of a SubjectPublicKeyInfo (RFC 5480) of an uncompressed
// key up to the point: id-ecPublicKey with the curve 1.2.156.10197.1.301.
var spkiHead = []byte{
	0x30, 0x59, 0x30, 0x13,
	0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
	0x06, 0x08, 0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x82, 0x2d,
	0x03, 0x42, 0x00,
}

// spkiHead33 is the same for a compressed point.
var spkiHead33 = append([]byte{0x30, 0x39}, append(append([]byte(nil), spkiHead[2:23]...), 0x03, 0x22, 0x00)...)

// SPKI returns the DER SubjectPublicKeyInfo with the uncompressed point, nil
// for the zero value.
func (p PublicKey) SPKI() []byte {
	if p.IsZero() {
		return nil
	}
	u := p.Uncompressed()
	return append(append(make([]byte, 0, len(spkiHead)+len(u)), spkiHead...), u[:]...)
}

// ParseSPKI reads a SubjectPublicKeyInfo of an SM2 key, compressed or not, and
// nothing else: DER allows exactly one form, so a prefix is the whole parser.
// Errors: Invalid.
func ParseSPKI(der []byte) (PublicKey, error) {
	for _, head := range [][]byte{spkiHead, spkiHead33} {
		if point, ok := bytes.CutPrefix(der, head); ok && len(der) == int(head[1])+2 {
			return ParsePoint(point)
		}
	}
	return PublicKey{}, core.Errorf(core.Invalid, "sm: parse public key", "%d bytes of DER are no SM2 SubjectPublicKeyInfo", len(der))
}

// pemType is the label of RFC 7468 for a SubjectPublicKeyInfo.
const pemType = "PUBLIC KEY"

// maxPEM bounds what ParsePEM looks at: an SM2 key is 178 bytes, the rest is
// room for text around it.
const maxPEM = 64 << 10

// PEM returns the key as a PEM block "PUBLIC KEY", nil for the zero value.
func (p PublicKey) PEM() []byte {
	if p.IsZero() {
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: p.SPKI()})
}

// ParsePEM reads the first PEM block of data, which must be "PUBLIC KEY" with
// an SM2 key. Errors: Invalid, TooLarge above 64 KiB.
func ParsePEM(data []byte) (PublicKey, error) {
	const op = "sm: parse public key"
	if len(data) > maxPEM {
		return PublicKey{}, core.Errorf(core.TooLarge, op, "%d bytes of PEM, at most %d", len(data), maxPEM)
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return PublicKey{}, core.Errorf(core.Invalid, op, "no PEM block: want one that begins with -----BEGIN PUBLIC KEY-----")
	}
	if block.Type != pemType {
		return PublicKey{}, core.Errorf(core.Invalid, op, "PEM block %q: want %q", block.Type, pemType)
	}
	return ParseSPKI(block.Bytes)
}

// FieldPrime is the p of GM/T 0003.5, 32 big-endian bytes.
func FieldPrime() [32]byte { return [32]byte(curve.Params().P.FillBytes(make([]byte, 32))) }

// GroupOrder is the n of GM/T 0003.5, a prime.
func GroupOrder() [32]byte { return [32]byte(curve.Params().N.FillBytes(make([]byte, 32))) }

// CurveB is the b of GM/T 0003.5; a is p − 3.
func CurveB() [32]byte { return [32]byte(curve.Params().B.FillBytes(make([]byte, 32))) }
