package sm_test

import (
	"bytes"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"

	"github.com/keposs/keposs/core/sm"
)

// OpenSSL 3 verifies what we sign and encrypts what we open, and the other way
// round.
// req: K-7.2-06, K-7.D-ENC
func TestOpenSSL(t *testing.T) {
	bin, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed")
	}
	if v, err := exec.Command(bin, "list", "-public-key-algorithms").Output(); err != nil || !strings.Contains(string(v), "SM2") {
		t.Skip("this openssl has no SM2")
	}
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, b []byte) string {
		if err := os.WriteFile(path(name), b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path(name)
	}
	run := func(args ...string) []byte {
		t.Helper()
		out, err := exec.Command(bin, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return out
	}
	k, err := sm.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	their, err := sm2.NewPrivateKey(k.Scalar().Bytes())
	if err != nil {
		t.Fatal(err)
	}
	der, err := smx509.MarshalPKCS8PrivateKey(their)
	if err != nil {
		t.Fatal(err)
	}
	key := write("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	pub := write("pub.pem", k.Public().PEM())
	spki := run("pkey", "-in", key, "-pubout", "-outform", "DER")
	if p, err := sm.ParseSPKI(spki); err != nil || p != k.Public() {
		t.Errorf("openssl's public key: %v", err)
	}
	compressed := run("ec", "-in", key, "-pubout", "-outform", "DER", "-conv_form", "compressed")
	if i := bytes.Index(compressed, []byte{0x30, 0x39}); i < 0 { // after what openssl says on stderr
		t.Errorf("no compressed key in %x", compressed)
	} else if p, err := sm.ParseSPKI(compressed[i : i+59]); err != nil || p != k.Public() {
		t.Errorf("openssl's compressed key: %v", err)
	}
	msg := write("msg", []byte("interoperability"))
	raw, _ := os.ReadFile(msg)
	for _, userID := range []string{sm.DefaultID, "KEPOSS-CONFIRM-v1"} {
		sig, err := k.Sign(nil, raw, []byte(userID))
		if err != nil {
			t.Fatal(err)
		}
		opts := []string{"-rawin", "-digest", "sm3", "-pkeyopt", "distid:" + userID}
		run(append([]string{"pkeyutl", "-verify", "-pubin", "-inkey", pub, "-in", msg, "-sigfile", write("sig", sm.SignatureDER(sig))}, opts...)...)
		run(append([]string{"pkeyutl", "-sign", "-inkey", key, "-in", msg, "-out", path("sig2")}, opts...)...)
		b, _ := os.ReadFile(path("sig2"))
		back, err := sm.ParseSignatureDER(b)
		if err != nil || !sm.Verify(k.Public(), raw, []byte(userID), back) {
			t.Errorf("openssl's signature for %q: %v", userID, err)
		}
	}
	ct, err := sm.Encrypt(nil, k.Public(), raw)
	if err != nil {
		t.Fatal(err)
	}
	ctDER, err := sm.CiphertextDER(ct)
	if err != nil {
		t.Fatal(err)
	}
	run("pkeyutl", "-decrypt", "-inkey", key, "-in", write("ct", ctDER), "-out", path("plain"))
	if p, _ := os.ReadFile(path("plain")); !bytes.Equal(p, raw) {
		t.Errorf("openssl opens %q", p)
	}
	run("pkeyutl", "-encrypt", "-pubin", "-inkey", pub, "-in", msg, "-out", path("ct2"))
	b, _ := os.ReadFile(path("ct2"))
	back, err := sm.ParseCiphertextDER(b)
	if err != nil {
		t.Fatal(err)
	}
	p, err := k.Decrypt(back)
	if err != nil || !bytes.Equal(p.Bytes(), raw) {
		t.Errorf("we open openssl's ciphertext: %v", err)
	}
}
