package sm

import (
	"github.com/keposs/keposs/core"
)

// The strict DER that SM2 objects need (X.690): definite minimal lengths,
// minimal positive integers, nothing after the end. encoding/asn1 accepts
// further elements at the end of a SEQUENCE, which would give one signature
// many encodings.

const (
	tagInteger  = 0x02
	tagOctets   = 0x04
	tagSequence = 0x30
)

// MaxCiphertext bounds what Decrypt and ParseCiphertextDER accept and what
// Encrypt makes, in bytes of the raw form.
const MaxCiphertext = 1 << 26

// derElement cuts the element of a tag off b; ok is false when b does not begin
// with one in DER.
func derElement(b []byte, tag byte) (body, rest []byte, ok bool) {
	if len(b) < 2 || b[0] != tag {
		return nil, nil, false
	}
	n, head := int(b[1]), 2
	if n >= 0x80 {
		k := n & 0x7f
		if k == 0 || k > 4 || len(b) < 2+k {
			return nil, nil, false
		}
		n = 0
		for _, v := range b[2 : 2+k] {
			n = n<<8 | int(v)
		}
		if b[2] == 0 || n < 0x80 || n > MaxCiphertext+1024 {
			return nil, nil, false
		}
		head += k
	}
	if len(b)-head < n {
		return nil, nil, false
	}
	return b[head : head+n], b[head+n:], true
}

// derInt32 reads a non-negative INTEGER of at most 256 bits into out.
func derInt32(b []byte, out []byte) (rest []byte, ok bool) {
	v, rest, ok := derElement(b, tagInteger)
	if !ok || len(v) == 0 || v[0] >= 0x80 {
		return nil, false
	}
	if v[0] == 0 && len(v) > 1 {
		if v[1] < 0x80 {
			return nil, false
		}
		v = v[1:]
	}
	if len(v) > len(out) {
		return nil, false
	}
	clear(out)
	copy(out[len(out)-len(v):], v)
	return rest, true
}

func appendDER(out []byte, tag byte, body []byte) []byte {
	out = append(out, tag)
	switch n := len(body); {
	case n < 0x80:
		out = append(out, byte(n))
	case n < 1<<8:
		out = append(out, 0x81, byte(n))
	case n < 1<<16:
		out = append(out, 0x82, byte(n>>8), byte(n))
	case n < 1<<24:
		out = append(out, 0x83, byte(n>>16), byte(n>>8), byte(n))
	default:
		out = append(out, 0x84, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return append(out, body...)
}

func appendInt(out, v []byte) []byte {
	for len(v) > 1 && v[0] == 0 {
		v = v[1:]
	}
	if v[0] >= 0x80 {
		v = append([]byte{0}, v...)
	}
	return appendDER(out, tagInteger, v)
}

// SignatureDER returns SEQUENCE { INTEGER r, INTEGER s } (GM/T 0009).
func SignatureDER(sig [64]byte) []byte {
	body := appendInt(nil, sig[:32])
	body = appendInt(body, sig[32:])
	return appendDER(nil, tagSequence, body)
}

// ParseSignatureDER is the inverse of SignatureDER and accepts nothing else:
// what parses marshals back to the same bytes. r and s are not compared with n
// here; Verify does. Errors: Invalid.
func ParseSignatureDER(der []byte) (sig [64]byte, err error) {
	body, rest, ok := derElement(der, tagSequence)
	if ok && len(rest) == 0 {
		if body, ok = derInt32(body, sig[:32]); ok {
			body, ok = derInt32(body, sig[32:])
		}
	}
	if !ok || len(rest) != 0 || len(body) != 0 {
		return [64]byte{}, core.Errorf(core.Invalid, "sm: parse signature", "%d bytes are no DER of two positive integers below 2^256", len(der))
	}
	return sig, nil
}

// CiphertextDER turns a raw ciphertext 04 ‖ C1 ‖ C3 ‖ C2 into SEQUENCE {
// INTEGER x, INTEGER y, OCTET STRING C3, OCTET STRING C2 } (GM/T 0009), the
// form of OpenSSL. C1 is not checked to be on the curve. Errors: Invalid.
func CiphertextDER(raw []byte) ([]byte, error) {
	if err := checkRaw("sm: ciphertext to der", raw); err != nil {
		return nil, err
	}
	body := make([]byte, 0, len(raw)+32)
	body = appendInt(body, raw[1:33])
	body = appendInt(body, raw[33:65])
	body = appendDER(body, tagOctets, raw[65:97])
	body = appendDER(body, tagOctets, raw[97:])
	return appendDER(make([]byte, 0, len(body)+8), tagSequence, body), nil
}

// ParseCiphertextDER is the inverse of CiphertextDER, as strict as
// ParseSignatureDER. Errors: Invalid.
func ParseCiphertextDER(der []byte) ([]byte, error) {
	var xy [64]byte
	var c3, c2 []byte
	body, rest, ok := derElement(der, tagSequence)
	if ok && len(rest) == 0 {
		if body, ok = derInt32(body, xy[:32]); ok {
			body, ok = derInt32(body, xy[32:])
		}
		if ok {
			c3, body, ok = derElement(body, tagOctets)
		}
		if ok {
			c2, body, ok = derElement(body, tagOctets)
		}
	}
	if !ok || len(rest) != 0 || len(body) != 0 || len(c3) != 32 || len(c2) == 0 {
		return nil, core.Errorf(core.Invalid, "sm: parse ciphertext", "%d bytes are no DER of an SM2 ciphertext", len(der))
	}
	raw := make([]byte, 0, 97+len(c2))
	raw = append(append(append(append(raw, 4), xy[:]...), c3...), c2...)
	return raw, checkRaw("sm: parse ciphertext", raw)
}

func checkRaw(op string, raw []byte) error {
	if len(raw) < 98 || raw[0] != 4 {
		return core.Errorf(core.Invalid, op, "%d bytes: want 04, 64 bytes of C1, 32 of C3 and at least 1 of C2", len(raw))
	}
	if len(raw) > MaxCiphertext {
		return core.Errorf(core.TooLarge, op, "%d bytes of ciphertext, at most %d", len(raw), MaxCiphertext)
	}
	return nil
}
