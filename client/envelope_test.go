package client

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

func newKey(t testing.TB) *sm.PrivateKey {
	t.Helper()
	k, err := sm.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Wipe)
	return k
}

// open undoes sealEnvelope with the private key itself.
func open(k *sm.PrivateKey, b []byte) (*secret.Buffer, error) {
	sealed, iv, ct, mac, err := splitEnvelope(b)
	if err != nil {
		return nil, err
	}
	seed, err := k.Decrypt(sealed)
	if err != nil {
		return nil, err
	}
	defer seed.Wipe()
	return openSeed(seed, b[:len(b)-32], iv, ct, mac)
}

// req: K-7.D-ENC, K-7.D-DEC
func TestEnvelope(t *testing.T) {
	k := newKey(t)
	for _, n := range []int{0, 1, 15, 16, 17, 4096, 100_001} {
		message := make([]byte, n)
		_, _ = rand.Read(message)
		b, err := sealEnvelope(sm.Rand(), k.Public(), message)
		if err != nil {
			t.Fatal(err)
		}
		if n > 16 && bytes.Contains(b, message[:16]) {
			t.Errorf("%d bytes: the envelope holds the message in the clear", n)
		}
		back, err := open(k, b)
		if err != nil || !bytes.Equal(back.Bytes(), message) {
			t.Errorf("%d bytes: %v", n, err)
		}
		back.Wipe()
	}
	if _, err := sealEnvelope(sm.Rand(), k.Public(), make([]byte, MaxEnvelope+1)); !errors.Is(err, core.TooLarge) {
		t.Errorf("above the bound: %v", err)
	}
}

// Every byte of an envelope counts, and another key opens nothing.
// req: K-7.D-DEC
func TestEnvelopeAltered(t *testing.T) {
	k := newKey(t)
	b, err := sealEnvelope(sm.Rand(), k.Public(), []byte("a message of some length"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 0x10
		if plain, err := open(k, bad); err == nil || plain != nil {
			t.Fatalf("byte %d altered: opened", i)
		}
	}
	for _, n := range []int{0, 11, envelopeHead, len(b) - 1} {
		if plain, err := open(k, b[:n]); err == nil || plain != nil {
			t.Errorf("cut to %d bytes: opened", n)
		}
	}
	if plain, err := open(newKey(t), b); err == nil || plain != nil {
		t.Error("another key opened it")
	}
}

// What parses as one of the three forms is the whole input, not a part of it.
func FuzzCiphertextForms(f *testing.F) {
	k := newKey(f)
	raw, err := sm.Encrypt(sm.Rand(), k.Public(), []byte("seed"))
	if err != nil {
		f.Fatal(err)
	}
	der, err := sm.CiphertextDER(raw)
	if err != nil {
		f.Fatal(err)
	}
	env, err := sealEnvelope(sm.Rand(), k.Public(), []byte("seed"))
	if err != nil {
		f.Fatal(err)
	}
	for _, b := range [][]byte{raw, der, env, env[:50], {0x30}, {0x04}, nil} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if sealed, iv, ct, mac, err := splitEnvelope(b); err == nil {
			if len(b) != 14+len(sealed)+len(iv)+len(ct)+len(mac) || len(sealed) != sealedSeed || len(iv) != 16 || len(mac) != 32 {
				t.Errorf("an envelope of %d bytes splits into %d, %d, %d, %d", len(b), len(sealed), len(iv), len(ct), len(mac))
			}
		}
		raw, err := directForm(b)
		if err != nil {
			if raw != nil {
				t.Error("an error comes with a value")
			}
			return
		}
		if b[0] == 0x30 {
			again, err := sm.CiphertextDER(raw)
			if err != nil || !bytes.Equal(again, b) {
				t.Errorf("DER is malleable: %x became %x, %v", b, again, err)
			}
		}
	})
}

func TestParseSignature(t *testing.T) {
	k := newKey(t)
	sig, err := k.Sign(sm.Rand(), []byte("m"), []byte(sm.DefaultID))
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"raw": sig[:], "DER": sm.SignatureDER(sig)} {
		if got, err := parseSignature(b); err != nil || got != sig {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, b := range map[string][]byte{"empty": nil, "63 bytes": sig[:63], "DER and more": append(sm.SignatureDER(sig), 0)} {
		if _, err := parseSignature(b); !errors.Is(err, core.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
