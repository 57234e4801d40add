package sm_test

import (
	"bytes"
	"testing"

	"github.com/keposs/keposs/core/sm"
)

// What parses marshals back to the same bytes; an error comes with no value.

// req: TK-12, G-7.3-05
func FuzzParsePoint(f *testing.F) {
	k, _ := sm.GenerateKey(nil)
	c, u := k.Public().Compressed(), k.Public().Uncompressed()
	f.Add(c[:])
	f.Add(u[:])
	f.Add([]byte{0})
	f.Add(append([]byte{4}, make([]byte, 64)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := sm.ParsePoint(b)
		if q, err2 := sm.ParseShared(b); q != p || (err2 == nil) != (err == nil) {
			t.Errorf("shared it is %x, %v; alone %x, %v", q.Compressed(), err2, p.Compressed(), err)
		}
		c, u := p.Compressed(), p.Uncompressed()
		if err != nil {
			if !p.IsZero() {
				t.Error("an error comes with a point")
			}
		} else if !bytes.Equal(b, c[:]) && !bytes.Equal(b, u[:]) {
			t.Errorf("%x is a second form of %x", b, c)
		}
	})
}

// req: TK-12
func FuzzParseSPKI(f *testing.F) {
	k, _ := sm.GenerateKey(nil)
	f.Add(k.Public().SPKI())
	f.Add(k.Public().PEM())
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := sm.ParseSPKI(b); err == nil && len(b) == 91 && !bytes.Equal(p.SPKI(), b) {
			t.Errorf("%x is a second form", b)
		}
		if p, err := sm.ParsePEM(b); (err != nil) != p.IsZero() {
			t.Error("error and value")
		}
	})
}

// req: TK-12
func FuzzParseSignatureDER(f *testing.F) {
	k, _ := sm.GenerateKey(nil)
	sig, _ := k.Sign(nil, []byte("m"), []byte("id"))
	f.Add(sm.SignatureDER(sig))
	f.Add(sm.SignatureDER([64]byte{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		sig, err := sm.ParseSignatureDER(b)
		if err == nil && !bytes.Equal(sm.SignatureDER(sig), b) {
			t.Errorf("%x is a second form of %x", b, sig)
		}
	})
}

// req: TK-12
func FuzzCiphertext(f *testing.F) {
	k, _ := sm.GenerateKey(nil)
	ct, _ := sm.Encrypt(nil, k.Public(), []byte("message"))
	der, _ := sm.CiphertextDER(ct)
	f.Add(ct)
	f.Add(der)
	f.Fuzz(func(t *testing.T, b []byte) {
		if raw, err := sm.ParseCiphertextDER(b); err == nil {
			back, err := sm.CiphertextDER(raw)
			if err != nil || !bytes.Equal(back, b) {
				t.Errorf("%x is a second form: %v", b, err)
			}
		}
		p, err := k.Decrypt(b)
		if (err != nil) != (p == nil) || err == nil && !bytes.Equal(b, ct) {
			t.Errorf("%x opens: %v", b, err)
		}
	})
}
