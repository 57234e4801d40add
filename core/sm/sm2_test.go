package sm_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/emmansun/gmsm/sm2"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/internal/testenv"
)

var (
	order, _ = new(big.Int).SetString("fffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54123", 16)
	id       = []byte(sm.DefaultID)
)

func be(v *big.Int) []byte { return v.FillBytes(make([]byte, 32)) }

// samples is 10^4 at level 0 and 10^5 above, spread over keys.
func samples() int {
	if testenv.Level() > 0 {
		return 100_000
	}
	return 10_000
}

func chacha(seed uint64) *rand.ChaCha8 {
	var s [32]byte
	binary.LittleEndian.PutUint64(s[:], seed)
	return rand.NewChaCha8(s)
}

func gmsmPub(p sm.PublicKey) *ecdsa.PublicKey {
	u := p.Uncompressed()
	return &ecdsa.PublicKey{Curve: sm2.P256(), X: new(big.Int).SetBytes(u[1:33]), Y: new(big.Int).SetBytes(u[33:])}
}

// What we sign gmsm verifies, what it signs we verify, and a changed bit is
// refused by both; keys at the ends of the range come first.
func TestSignAgainstGmsm(t *testing.T) {
	src := chacha(1)
	edge := []*big.Int{big.NewInt(1), big.NewInt(2), new(big.Int).Sub(order, big.NewInt(2)), new(big.Int).Sub(order, big.NewInt(3)), new(big.Int).Lsh(big.NewInt(1), 255)}
	n := samples() / 50
	for i := range n {
		var k *sm.PrivateKey
		var err error
		if i < len(edge) {
			k, err = sm.NewPrivateKey(be(edge[i]))
		} else {
			k, err = sm.GenerateKey(src)
		}
		if err != nil {
			t.Fatal(err)
		}
		d := k.Scalar()
		their, err := sm2.NewPrivateKey(d.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		pub := k.Public()
		if u := pub.Uncompressed(); !bytes.Equal(u[:], elliptic.Marshal(sm2.P256(), their.X, their.Y)) {
			t.Fatalf("key %d: public keys differ", i)
		}
		for j := range 25 {
			msg := make([]byte, (i+j)%200)
			_, _ = src.Read(msg)
			sig, err := k.Sign(src, msg, id)
			if err != nil {
				t.Fatal(err)
			}
			der := sm.SignatureDER(sig)
			if !sm2.VerifyASN1WithSM2(&their.PublicKey, id, msg, der) {
				t.Fatalf("gmsm refuses %x", der)
			}
			if j%5 == 0 {
				sig[(i+j)%64] ^= 1 << (j % 8)
				if sm.Verify(pub, msg, id, sig) || sm2.VerifyASN1WithSM2(&their.PublicKey, id, msg, sm.SignatureDER(sig)) {
					t.Fatalf("a changed signature is taken: %x", sig)
				}
			}
		}
		for range 25 {
			msg := make([]byte, 1+i%300)
			der, err := their.Sign(src, msg, sm2.NewSM2SignerOption(true, id))
			if err != nil {
				t.Fatal(err)
			}
			sig, err := sm.ParseSignatureDER(der)
			if err != nil || !sm.Verify(pub, msg, id, sig) {
				t.Fatalf("we refuse %x: %v", der, err)
			}
		}
		d.Wipe()
		k.Wipe()
	}
}

func TestEncryptAgainstGmsm(t *testing.T) {
	src := chacha(2)
	k, err := sm.GenerateKey(src)
	if err != nil {
		t.Fatal(err)
	}
	their, err := sm2.NewPrivateKey(k.Scalar().Bytes())
	if err != nil {
		t.Fatal(err)
	}
	for i := range samples() / 20 {
		msg := make([]byte, 1+i%400)
		_, _ = src.Read(msg)
		ct, err := sm.Encrypt(src, k.Public(), msg)
		if err != nil {
			t.Fatal(err)
		}
		if p, err := sm2.Decrypt(their, ct); err != nil || !bytes.Equal(p, msg) {
			t.Fatalf("gmsm opens %x as %x, %v", ct, p, err)
		}
		ct, err = sm2.Encrypt(src, gmsmPub(k.Public()), msg, nil)
		if err != nil {
			t.Fatal(err)
		}
		p, err := k.Decrypt(ct)
		if err != nil || !bytes.Equal(p.Bytes(), msg) {
			t.Fatalf("we open %x as error %v", ct, err)
		}
		der, err := sm.CiphertextDER(ct)
		if err != nil {
			t.Fatal(err)
		}
		if raw, err := sm.ParseCiphertextDER(der); err != nil || !bytes.Equal(raw, ct) {
			t.Fatalf("DER round trip: %v", err)
		}
		ct[1+i%(len(ct)-1)] ^= 1 << (i % 8)
		if p, err := k.Decrypt(ct); err == nil || p != nil || !errors.Is(err, core.Corrupt) && !errors.Is(err, core.Invalid) {
			t.Fatalf("a changed ciphertext: %v", err)
		}
	}
}

// req: K-7.3-02
func TestEdgesOfSignature(t *testing.T) {
	k, _ := sm.GenerateKey(nil)
	msg := []byte("m")
	sig, err := k.Sign(nil, msg, id)
	if err != nil || !sm.Verify(k.Public(), msg, id, sig) {
		t.Fatal(err)
	}
	zero, n, all := make([]byte, 32), be(order), bytes.Repeat([]byte{0xff}, 32)
	r, s := sig[:32], sig[32:]
	comp := be(new(big.Int).Sub(order, new(big.Int).SetBytes(r))) // r + s = n
	over := be(new(big.Int).Mod(new(big.Int).Add(new(big.Int).SetBytes(s), order), new(big.Int).Lsh(big.NewInt(1), 256)))
	for name, c := range map[string][2][]byte{
		"r = 0": {zero, s}, "s = 0": {r, zero}, "both 0": {zero, zero}, "r = n": {n, s}, "s = n": {r, n},
		"r + s = n": {r, comp}, "all ones": {all, all}, "s + n": {r, over}, "swapped": {s, r},
	} {
		if sm.Verify(k.Public(), msg, id, [64]byte(append(bytes.Clone(c[0]), c[1]...))) {
			t.Errorf("%s is taken", name)
		}
	}
	if sm.Verify(sm.PublicKey{}, msg, id, sig) || sm.Verify(k.Public(), msg, nil, sig) || sm.Verify(k.Public(), msg, []byte("other"), sig) {
		t.Error("a zero key, no id or another id is taken")
	}
	for _, bad := range [][]byte{nil, make([]byte, sm.MaxID+1)} {
		if _, err := k.Sign(nil, msg, bad); !errors.Is(err, core.Usage) {
			t.Errorf("id of %d bytes: %v", len(bad), err)
		}
	}
}

// req: K-7.3-02, G-7.3-05
func TestStrictDER(t *testing.T) {
	k, _ := sm.GenerateKey(nil)
	sig, _ := k.Sign(nil, []byte("m"), id)
	good := sm.SignatureDER(sig)
	if back, err := sm.ParseSignatureDER(good); err != nil || back != sig {
		t.Fatal(err)
	}
	hexes := map[string]string{
		"empty": "", "negative r": "3006020180020101", "padded r": "300702020001020101", "empty integer": "30050200020101",
		"long form length": "308106020101020101", "indefinite": "3080020101020101" + "0000", "third element": "3009020101020101020101",
		"trailing": "300602010102010100", "short": "3006020101", "33 bytes": "3027022201" + strings.Repeat("00", 33) + "020101", "wrong tag": "3106020101020101",
	}
	for name, h := range hexes {
		b, err := hex.DecodeString(h)
		if err != nil {
			t.Fatal(name, err)
		}
		if v, err := sm.ParseSignatureDER(b); !errors.Is(err, core.Invalid) || v != [64]byte{} {
			t.Errorf("%s: %x, %v", name, v, err)
		}
	}
}

// req: K-7.3-02, G-7.3-05
func TestPoints(t *testing.T) {
	k, _ := sm.GenerateKey(nil)
	p := k.Public()
	c, u := p.Compressed(), p.Uncompressed()
	for _, b := range [][]byte{c[:], u[:]} {
		if q, err := sm.ParsePoint(b); err != nil || q != p {
			t.Errorf("%x: %v", b, err)
		}
	}
	if q, err := sm.ParseSPKI(p.SPKI()); err != nil || q != p {
		t.Error(err)
	}
	if q, err := sm.ParsePEM(p.PEM()); err != nil || q != p {
		t.Error(err)
	}
	off, hybrid, wrong := u, u, c
	off[64] ^= 1
	hybrid[0] = 6 | u[64]&1
	wrong[0] = 5
	prime := sm.FieldPrime()
	big65 := append([]byte{4}, append(prime[:], prime[:]...)...)
	for name, b := range map[string][]byte{
		"nil": nil, "identity": {0}, "(0,0)": append([]byte{4}, make([]byte, 64)...), "off the curve": off[:], "hybrid": hybrid[:],
		"prefix 5": wrong[:], "x = p": append([]byte{2}, prime[:]...), "(p,p)": big65, "64 bytes": u[1:], "66 bytes": append(u[:], 0),
	} {
		if q, err := sm.ParsePoint(b); !errors.Is(err, core.Invalid) || !q.IsZero() {
			t.Errorf("%s: %v", name, err)
		}
	}
	if b := (sm.PublicKey{}).SPKI(); b != nil {
		t.Error("the zero key has an SPKI")
	}
	if _, ok := (sm.PublicKey{}).Mult(&[32]byte{31: 1}); ok {
		t.Error("the zero key is multiplied")
	}
	n := sm.GroupOrder()
	if _, ok := p.Mult(&n); ok {
		t.Error("n·P is not the identity")
	}
}

// req: K-7.1-04, K-15.2-01, K-15.2-00
func TestPrivateKeyRange(t *testing.T) {
	for _, v := range []*big.Int{big.NewInt(0), new(big.Int).Sub(order, big.NewInt(1)), order, new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))} {
		if _, err := sm.NewPrivateKey(be(v)); !errors.Is(err, core.Invalid) {
			t.Errorf("d = %x: %v", v, err)
		}
	}
	if _, err := sm.NewPrivateKey(make([]byte, 31)); !errors.Is(err, core.Invalid) {
		t.Error(err)
	}
	if _, err := sm.GenerateKey(bytes.NewReader(make([]byte, 32*100))); !errors.Is(err, core.Integrity) {
		t.Errorf("a source of zeros: %v", err)
	}
	if _, err := sm.GenerateKey(strings.NewReader("short")); err == nil {
		t.Error("a short source gives a key")
	}
}

// req: G-7.10-05
func TestPairTestAndWipe(t *testing.T) {
	k, _ := sm.GenerateKey(nil)
	if err := sm.PairTest(k); err != nil {
		t.Fatal(err)
	}
	d := k.Scalar()
	text := fmt.Sprintf("%v %+v %#v %x %d %s", k, *k, k, k, *k, struct{ K *sm.PrivateKey }{k})
	j, _ := json.Marshal(map[string]any{"k": k})
	if text += string(j); strings.Contains(text, hex.EncodeToString(d.Bytes()[:4])) || strings.Count(text, "[secret]") < 5 {
		t.Errorf("printed: %s", text)
	}
	k.Wipe()
	if err := sm.PairTest(k); !errors.Is(err, core.Integrity) {
		t.Errorf("pair test of a wiped key: %v", err)
	}
	if _, err := k.Sign(nil, nil, id); !errors.Is(err, core.Closed) {
		t.Errorf("wiped key signs: %v", err)
	}
	if _, err := k.Decrypt(make([]byte, 100)); !errors.Is(err, core.Closed) {
		t.Errorf("wiped key decrypts: %v", err)
	}
	if k.Scalar().Len() != 0 {
		t.Error("a wiped key has a scalar")
	}
}

// The nonce is hedged: one random stream twice gives two nonces for two
// messages, and one message under two streams too.
func TestNonceIsHedged(t *testing.T) {
	k, _ := sm.GenerateKey(nil)
	rs := map[string]bool{}
	for seed := range uint64(2) {
		for _, m := range []string{"a", "b"} {
			sig, err := k.Sign(chacha(seed), []byte(m), id)
			if err != nil {
				t.Fatal(err)
			}
			e := new(big.Int).SetBytes(sig[:32]) // r = e + x1 differs with e: compare s as well
			rs[e.Text(16)+hex.EncodeToString(sig[32:])] = true
		}
	}
	if len(rs) != 4 {
		t.Errorf("%d different signatures of 4", len(rs))
	}
}

func TestExchange(t *testing.T) {
	a, _ := sm.GenerateKey(nil)
	b, _ := sm.GenerateKey(nil)
	run := func() (x, y *sm.Exchange) {
		x, err := sm.NewInitiator(a, []byte("device"), b.Public(), []byte("realm"), nil)
		if err != nil {
			t.Fatal(err)
		}
		y, err = sm.NewResponder(b, []byte("realm"), a.Public(), []byte("device"), nil)
		if err != nil {
			t.Fatal(err)
		}
		rx, ry := x.R(), y.R()
		if err := errors.Join(x.Agree(ry[:]), y.Agree(rx[:])); err != nil {
			t.Fatal(err)
		}
		return x, y
	}
	x, y := run()
	if _, err := x.Key(16); !errors.Is(err, core.Usage) {
		t.Errorf("a key before confirmation: %v", err)
	}
	if err := errors.Join(x.Confirm(y.Confirmation()), y.Confirm(x.Confirmation())); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 16, 100} {
		kx, e1 := x.Key(n)
		ky, e2 := y.Key(n)
		if e1 != nil || e2 != nil || !kx.Equal(ky) || kx.Len() != n {
			t.Errorf("keys of %d bytes differ: %v %v", n, e1, e2)
		}
	}
	x, y = run()
	if err := x.Confirm(x.Confirmation()); !errors.Is(err, core.Auth) { // reflected
		t.Errorf("own confirmation is taken: %v", err)
	}
	if err := x.Confirm(y.Confirmation()); !errors.Is(err, core.Usage) {
		t.Errorf("a second try is given: %v", err)
	}
}
