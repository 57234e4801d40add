package sm_test

import (
	"crypto/rand"
	"testing"

	"github.com/emmansun/gmsm/sm2"

	"github.com/keposs/keposs/core/sm"
)

func scalar(tb testing.TB) []byte {
	k, err := sm.GenerateKey(nil)
	if err != nil {
		tb.Fatal(err)
	}
	return k.Scalar().Bytes()
}

// BenchmarkLoadAndSign compares what a signature costs when the key was just
// opened, as in flow 7.2: ours against gmsm's, in one run.
func BenchmarkLoadAndSign(b *testing.B) {
	d, msg, id := scalar(b), make([]byte, 64), []byte(sm.DefaultID)
	b.Run("keposs", func(b *testing.B) {
		for b.Loop() {
			k, err := sm.NewPrivateKey(d)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := k.Sign(nil, msg, id); err != nil {
				b.Fatal(err)
			}
			k.Wipe()
		}
	})
	b.Run("gmsm", func(b *testing.B) {
		opts := sm2.NewSM2SignerOption(true, id)
		for b.Loop() {
			k, err := sm2.NewPrivateKey(d)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := k.Sign(rand.Reader, msg, opts); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkSM2(b *testing.B) {
	k, err := sm.NewPrivateKey(scalar(b))
	if err != nil {
		b.Fatal(err)
	}
	msg, id := make([]byte, 64), []byte(sm.DefaultID)
	sig, _ := k.Sign(nil, msg, id)
	ct, _ := sm.Encrypt(nil, k.Public(), msg)
	pub, d := k.Public(), [32]byte(scalar(b))
	for name, f := range map[string]func(){
		"sign":        func() { _, _ = k.Sign(nil, msg, id) },
		"verify":      func() { sm.Verify(pub, msg, id, sig) },
		"encrypt":     func() { _, _ = sm.Encrypt(nil, pub, msg) },
		"decrypt":     func() { _, _ = k.Decrypt(ct) },
		"generate":    func() { _, _ = sm.GenerateKey(nil) },
		"scalar-mult": func() { pub.Mult(&d) },
		"hmac":        func() { sm.HMAC(msg, msg) },
		"random-32":   func() { _, _ = sm.Rand().Read(d[:]) },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				f()
			}
		})
	}
}
