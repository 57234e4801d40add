package sm

import (
	"bytes"
	"crypto/subtle"
	"encoding/hex"
	"math"
	"time"

	"github.com/emmansun/gmsm/sm4"

	"github.com/keposs/keposs/core"
)

// KAT is one known-answer test. Run is nil-error on success; a failure is an
// Integrity error that names the test. Run has no side effect, is safe for
// concurrent use and draws no randomness.
type KAT struct {
	Name string
	Run  func() error
}

// Answers: SM2 from GM/T 0003.5-2012, SM3 from GM/T 0004, SM4 from GM/T 0002;
// KDF and PBKDF2 computed with two programs; SM4-CTR and HMAC with OpenSSL 3.0;
// DRBG with gmsm's.
const (
	katD     = "3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8"
	katNonce = "59276e27d506861a16680f3ad9c02dccef3cc1fa3cdbe4ce6d54b80deac1bc21"
	katX     = "09f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020"
	katY     = "ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13"
	katR     = "f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3"
	katS     = "b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa"
	katC1    = "04ebfc718e8d1798620432268e77feb6415e2ede0e073c0f4f640ecd2e149a73" +
		"e858f9d81e5430a57b36daab8f950a3c64e6ee6a63094d99283aff767e124df0"
	katC3 = "59983c18f809e262923c53aec295d30383b54e39d609d160afcb1908d0bd8766"
	katC2 = "21886ca989ca9c7d58087307ca93092d651efa"
)

// KATs returns the tests that run before the first use of each algorithm, in
// the order to run them in: each builds on those before.
// req: K-16-05, G-7.10-04, K-6.1-03
func KATs() []KAT {
	list := []struct {
		name string
		want string
		run  func() ([]byte, error)
	}{
		{"sm3-abc", "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0",
			func() ([]byte, error) { d := SM3([]byte("abc")); return d[:], nil }},
		{"sm3-two-blocks", "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732",
			func() ([]byte, error) { d := SM3(bytes.Repeat([]byte("abcd"), 16)); return d[:], nil }},
		{"hmac-sm3", "96c567e3701a456aa3c777bfbde843e62e5ac76ca6c33deebff621450ccfcdb3",
			func() ([]byte, error) { d := HMAC(katMACKey(), []byte("keposs known answer")); return d[:], nil }},
		{"sm4-ecb", "681edf34d206965e86b3e94f536e4246" + "0123456789abcdeffedcba9876543210", katSM4},
		{"sm4-ctr-hmac-sm3", "000102030405060708090a0b0c0d0eff" +
			"2c6c71f896bdc4dc6fe55803e8ded25e7e201468e9bb0f8f8f4a958f0cc7559cb8c05277057069468f" +
			"b1ed146893e206f8577b22dd951e30a8153e3f8479e59e2e984c0ac7f8817e98" +
			hex.EncodeToString([]byte(katPlain)), katSeal},
		{"sm2-verify", "01", katVerify},
		{"sm2-sign", katR + katS, katSign},
		{"sm2-decrypt", hex.EncodeToString([]byte("encryption standard")), katDecrypt},
		{"kdf", "670ad7b9239df899650a6ea0d7cb51ab",
			func() ([]byte, error) { return KDF([]byte("KEPOSS-KDF-KAT"), 16), nil }},
		{"pbkdf2-hmac-sm3", "231860fbe90841e4759b50be9f22be6baed6b6d920966aad437e33e972435d41", katPBKDF2},
		{"drbg", "1ca31fad58a15806d36948e33d49f65a64d55734a07afd75b99773b61fa109de" +
			"f1753c007f87fc36865be68cce6012184d7829fe3d601d95e0378eb76a64f58f" +
			"78851537c7926fb96481c047cbaeb78b3c984347", katDRBG},
		{"sm2-exchange", "6c89347354de2484c60b4ab1fde4c6e5", katExchange},
	}
	out := make([]KAT, len(list))
	for i, t := range list {
		out[i] = KnownAnswer(t.name, t.want, t.run)
	}
	return out
}

// KnownAnswer makes a test: what run computes must be want, in hex. Packages
// with algorithms of their own use it, so that each test has a name, one form
// of failure and, in a build for tests, a way to be made to fail.
func KnownAnswer(name, want string, run func() ([]byte, error)) KAT {
	return KAT{name, func() error {
		got, err := run()
		if err != nil {
			return core.Errorf(core.Integrity, "sm: self-test "+name, "%w", err)
		}
		inject(name, got)
		if subtle.ConstantTimeCompare(got, unhex(want)) != 1 {
			return core.Errorf(core.Integrity, "sm: self-test "+name, "the result is not the known answer: the module must not be used")
		}
		return nil
	}}
}

// unhex decodes a constant of this file; a typing error there fails the test
// that uses it, as the comparison has another length.
func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		return nil
	}
	return b
}

func katMACKey() []byte {
	return unhex("00112233445566778899aabbccddeeff102132435465768798a9bacbdcedfe0f")
}

func katSM4() ([]byte, error) {
	key := unhex("0123456789abcdeffedcba9876543210")
	b, err := sm4.NewCipher(key)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 32)
	b.Encrypt(out[:16], key)
	b.Decrypt(out[16:], out[:16])
	return out, nil
}

const katPlain = "keposs known answer: SM4-CTR and HMAC-SM3"

// katSeal seals, checks the tag, and opens: iv ‖ ciphertext ‖ tag ‖ plaintext.
func katSeal() ([]byte, error) {
	key := unhex("0123456789abcdeffedcba9876543210")
	out := unhex("000102030405060708090a0b0c0d0eff")
	iv := out[:16:16]
	ct := make([]byte, len(katPlain))
	if err := CTR(key, iv, ct, []byte(katPlain)); err != nil {
		return nil, err
	}
	out = append(out, ct...)
	tag := HMAC(katMACKey(), out)
	out = append(out, tag[:]...)
	if err := CTR(key, iv, ct, ct); err != nil {
		return nil, err
	}
	return append(out, ct...), nil
}

func katMessageHash() (PublicKey, [32]byte, error) {
	pub, err := ParsePoint(append([]byte{4}, unhex(katX+katY)...))
	return pub, messageHash(&pub, []byte(DefaultID), []byte("message digest")), err
}

// katVerify also sees that a changed signature is refused.
func katVerify() ([]byte, error) {
	pub, e, err := katMessageHash()
	if err != nil {
		return nil, err
	}
	sig := [64]byte(unhex(katR + katS))
	good := pub.verify(&e, &sig)
	sig[63] ^= 1
	if good && !pub.verify(&e, &sig) {
		return []byte{1}, nil
	}
	return []byte{0}, nil
}

func katSign() ([]byte, error) {
	k, err := NewPrivateKey(unhex(katD))
	if err != nil {
		return nil, err
	}
	defer k.Wipe()
	_, e, err := katMessageHash()
	if err != nil {
		return nil, err
	}
	var sig [64]byte
	nonce := [32]byte(unhex(katNonce))
	k.s.signWith(&sig, &e, &nonce)
	return sig[:], nil
}

func katDecrypt() ([]byte, error) {
	k, err := NewPrivateKey(unhex(katD))
	if err != nil {
		return nil, err
	}
	defer k.Wipe()
	plain, err := k.Decrypt(unhex("04" + katC1 + katC3 + katC2))
	if err != nil {
		return nil, err
	}
	return plain.Bytes(), nil
}

// katPBKDF2 is one block of RFC 8018 PBKDF2 on the HMAC of this package. The
// fast implementation in kdf/pbkdf2sm3 has its own test of the same answer.
func katPBKDF2() ([]byte, error) {
	m := NewHMAC([]byte("passw0rd"))
	u := []byte("0123456789abcdef\x00\x00\x00\x01")
	out := make([]byte, 32)
	for range 1024 {
		m.Reset()
		m.Write(u)
		u = m.Sum(u[:0])
		subtle.XORBytes(out, out, u)
	}
	return out, nil
}

func katBytes(first byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = first + byte(i)
	}
	return b
}

// katDRBG instantiates, generates, reseeds and generates with additional input.
func katDRBG() ([]byte, error) {
	d := &DRBG{
		src:      &monitored{r: bytes.NewReader(katBytes(0x80, entropyLen))},
		now:      func() time.Time { return time.Time{} },
		requests: math.MaxUint64, interval: math.MaxInt64,
	}
	d.seed(katBytes(0, entropyLen), katBytes(0x40, nonceLen), []byte("keposs known answer"))
	out := make([]byte, 84)
	if err := d.ReadWith(out[:32], nil); err != nil {
		return nil, err
	}
	if err := d.Reseed(); err != nil {
		return nil, err
	}
	if err := d.ReadWith(out[32:64], []byte("additional")); err != nil {
		return nil, err
	}
	return out, d.ReadWith(out[64:], nil)
}
