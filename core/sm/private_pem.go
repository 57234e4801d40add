package sm

import (
	"encoding/asn1"
	"encoding/pem"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
)

// PEM types of private keys, as OpenSSL writes them.
const (
	pemPKCS8 = "PRIVATE KEY"
	pemSEC1  = "EC PRIVATE KEY"
)

// pkcs8Head stands before the 32 bytes of d in a PKCS#8 of an SM2 key without
// its public half: version 0, {ecPublicKey, sm2}, ECPrivateKey{1, d}.
var pkcs8Head = []byte{
	0x30, 0x41, 0x02, 0x01, 0x00,
	0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x82, 0x2d,
	0x04, 0x27, 0x30, 0x25, 0x02, 0x01, 0x01, 0x04, 0x20,
}

var (
	oidECPublicKey = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
	oidSM2         = asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 301}
)

type sec1 struct {
	Version int
	D       []byte
	Curve   asn1.ObjectIdentifier `asn1:"optional,explicit,tag:0"`
	Public  asn1.BitString        `asn1:"optional,explicit,tag:1"`
}

type pkcs8 struct {
	Version   int
	Algorithm struct{ Algorithm, Curve asn1.ObjectIdentifier }
	Key       []byte
}

// PrivatePEM is k as PKCS#8 in PEM, not encrypted; the caller owns and wipes
// it. It is for keys of people who sign releases, never for a user's: those
// have no way out of the module. Empty after Wipe.
func (k *PrivateKey) PrivatePEM() *secret.Buffer {
	d := k.Scalar()
	defer d.Wipe()
	if d.Len() == 0 {
		return secret.New(0)
	}
	der := append(append(make([]byte, 0, len(pkcs8Head)+32), pkcs8Head...), d.Bytes()...)
	defer secret.Zero(der)
	text := pem.EncodeToMemory(&pem.Block{Type: pemPKCS8, Bytes: der})
	defer secret.Zero(text)
	out := secret.New(len(text))
	copy(out.Bytes(), text)
	return out
}

// ParsePrivatePEM reads an unencrypted SM2 private key from the first such
// block of data (lent): PKCS#8 as `openssl genpkey -algorithm SM2` writes it,
// or SEC 1. A public half beside it must fit. Errors: Invalid, TooLarge above
// 64 KiB.
func ParsePrivatePEM(data []byte) (*PrivateKey, error) {
	const op = "sm: parse private key"
	if len(data) > maxPEM {
		return nil, core.Errorf(core.TooLarge, op, "%d bytes of PEM, at most %d", len(data), maxPEM)
	}
	var block *pem.Block
	for rest := data; ; {
		if block, rest = pem.Decode(rest); block == nil {
			return nil, core.Errorf(core.Invalid, op, "no PEM block %q or %q, not encrypted: make a key with keposs image key or openssl genpkey -algorithm SM2", pemPKCS8, pemSEC1)
		}
		if block.Type == pemPKCS8 || block.Type == pemSEC1 {
			break
		}
		secret.Zero(block.Bytes) // openssl ecparam writes a block of parameters first
	}
	defer secret.Zero(block.Bytes)
	der := block.Bytes
	curve := asn1.ObjectIdentifier(nil)
	if block.Type == pemPKCS8 {
		var p pkcs8
		rest, err := asn1.Unmarshal(der, &p)
		defer secret.Zero(p.Key)
		if err != nil || len(rest) > 0 || p.Version != 0 || !p.Algorithm.Algorithm.Equal(oidECPublicKey) {
			return nil, core.Errorf(core.Invalid, op, "the block is no PKCS#8 of an elliptic curve key")
		}
		der, curve = p.Key, p.Algorithm.Curve
	}
	var s sec1
	rest, err := asn1.Unmarshal(der, &s)
	defer secret.Zero(s.D)
	if err != nil || len(rest) > 0 || s.Version != 1 || len(s.D) != 32 {
		return nil, core.Errorf(core.Invalid, op, "the block is no elliptic curve key of 32 bytes")
	}
	if curve == nil {
		curve = s.Curve
	}
	if !curve.Equal(oidSM2) || s.Curve != nil && !s.Curve.Equal(oidSM2) {
		return nil, core.Errorf(core.Invalid, op, "the key is of another curve than SM2")
	}
	k, err := NewPrivateKey(s.D)
	if err != nil {
		return nil, err
	}
	if len(s.Public.Bytes) > 0 {
		pub, err := ParsePoint(s.Public.Bytes)
		if err != nil || pub != k.Public() {
			k.Wipe()
			return nil, core.Errorf(core.Invalid, op, "the public half in the file is another key's")
		}
	}
	return k, nil
}
