package sm

import (
	"bytes"
	"encoding/hex"
	"testing"
)

func fromHex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The worked example of GM/T 0003.5-2012 for the key exchange.
// req: K-15.3-00, G-7.9-06
func TestOfficialExchange(t *testing.T) {
	key := func(d string) *PrivateKey {
		k, err := NewPrivateKey(fromHex(t, d))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	a := key("81eb26e941bb5af16df116495f90695272ae2cd63d6c4ae1678418be48230029")
	b := key("785129917d45a9ea5437a59356b82338eaadda6ceb199088f14ae10defa229b5")
	side := func(initiator bool, k, peer *PrivateKey, r string) *Exchange {
		x, err := newExchange(initiator, k, []byte(DefaultID), peer.Public(), []byte(DefaultID), nil)
		if err != nil {
			t.Fatal(err)
		}
		nonce := [32]byte(fromHex(t, r))
		x.begin(&nonce)
		return x
	}
	x := side(true, a, b, "d4de15474db74d06491c440d305e012400990f3e390c7e87153c12db2ea60bb3")
	y := side(false, b, a, "7e07124814b309489125eaed101113164ebf0f3458c5bd88335c1f9d596243d6")
	rx, ry := x.R(), y.R()
	if hex.EncodeToString(rx[1:]) != "64ced1bdbc99d590049b434d0fd73428cf608a5db8fe5ce07f15026940bae40e" ||
		hex.EncodeToString(ry[1:]) != "acc27688a6f7b706098bc91ff3ad1bff7dc2802cdb14ccccdb0a90471f9bd707" {
		t.Errorf("ephemeral points %x %x", rx, ry)
	}
	if err := x.Agree(ry[:]); err != nil {
		t.Fatal(err)
	}
	if err := y.Agree(rx[:]); err != nil {
		t.Fatal(err)
	}
	u := fromHex(t, "c558b44bee5301d9f52b44d939bb59584d75b9034dd6a9fc826872109a65739f"+"3252b35b191d8ae01cd122c025204334c5eacf68a0cb4854c6a7d367ecad4de7")
	if !bytes.Equal(x.shared.xy[:], u) || x.shared != y.shared {
		t.Errorf("U = %x, V = %x", x.shared.xy, y.shared.xy)
	}
	if err := x.Confirm(y.Confirmation()); err != nil {
		t.Fatal(err)
	}
	if err := y.Confirm(x.Confirmation()); err != nil {
		t.Fatal(err)
	}
	for _, e := range []*Exchange{x, y} {
		if k, err := e.Key(16); err != nil || hex.EncodeToString(k.Bytes()) != "6c89347354de2484c60b4ab1fde4c6e5" {
			t.Errorf("key %v", err)
		}
	}
}

// The examples' intermediate values: ZA, e, and the fixed-nonce ciphertext.
// req: K-7.2-06, K-6.1-03
func TestOfficialSignAndEncrypt(t *testing.T) {
	k, err := NewPrivateKey(fromHex(t, katD))
	if err != nil {
		t.Fatal(err)
	}
	z := za(&k.s.pub, []byte(DefaultID))
	e := messageHash(&k.s.pub, []byte(DefaultID), []byte("message digest"))
	if hex.EncodeToString(z[:]) != "b2e14c5c79c6df5b85f4fe7ed8db7a262b9da7e07ccb0ea9f4747b8ccda8a4f3" ||
		hex.EncodeToString(e[:]) != "f0b43e94ba45accaace692ed534382eb17e6ab5a19ce7b31f4486fdfc0d28640" {
		t.Errorf("ZA %x, e %x", z, e)
	}
	msg := []byte("encryption standard")
	out := make([]byte, 97+len(msg))
	nonce := [32]byte(fromHex(t, katNonce))
	if !k.s.pub.encryptWith(out, msg, &nonce) || hex.EncodeToString(out) != "04"+katC1+katC3+katC2 {
		t.Errorf("ciphertext %x", out)
	}
	der, err := CiphertextDER(out)
	if err != nil || hex.EncodeToString(der) != "307c0220"+katC1[:64]+"022100"+katC1[64:]+"0420"+katC3+"0413"+katC2 {
		t.Errorf("DER %x, %v", der, err)
	}
}

// signWith asks for another nonce in the cases the standard names.
func TestNoncesTheStandardRefuses(t *testing.T) {
	k, err := NewPrivateKey(fromHex(t, katD))
	if err != nil {
		t.Fatal(err)
	}
	nonce := [32]byte(fromHex(t, katNonce))
	kg, _ := baseMult(&nonce)
	n := GroupOrder()
	sub := func(a, b [32]byte) (out [32]byte) {
		x, y := k.s.d, k.s.d
		order.SetBytes(&x, &a)
		order.SetBytes(&y, &b)
		order.Sub(&x, &x, &y)
		order.Bytes(&out, &x)
		return out
	}
	x1 := [32]byte(kg.xy[:32])
	zeroR := sub([32]byte{}, x1)            // e = −x1: r = 0
	sumN := sub(sub([32]byte{}, nonce), x1) // e = −k − x1: r + k = n
	var sig [64]byte
	if k.s.signWith(&sig, &zeroR, &nonce) || k.s.signWith(&sig, &sumN, &nonce) {
		t.Error("r = 0 or r + k = n is taken")
	}
	zero := [32]byte{}
	if k.s.signWith(&sig, &zeroR, &zero) || k.s.signWith(&sig, &zeroR, &n) {
		t.Error("k = 0 is taken")
	}
	// s = 0: r = k/d, e = k/d − x1
	inv := k.s.d
	order.Inv(&inv, &inv)
	kk := k.s.d
	order.SetBytes(&kk, &nonce)
	order.Mul(&inv, &inv, &kk)
	var r [32]byte
	order.Bytes(&r, &inv)
	zeroS := sub(r, x1)
	if k.s.signWith(&sig, &zeroS, &nonce) {
		t.Error("s = 0 is taken")
	}
	if sig != [64]byte{} {
		t.Error("a refused nonce leaves a signature")
	}
}
