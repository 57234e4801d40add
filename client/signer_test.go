package client

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	_ "crypto/sha256"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/emmansun/gmsm/smx509"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/sm"
)

// The user's keys as the standard library's interfaces.
// req: K-6.1-07
func TestSigner(t *testing.T) {
	_, c, u := initialised(t, func(o *Options) { o.InProcess = true })
	s, err := c.Signer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	key, err := u.SignKey()
	if err != nil {
		t.Fatal(err)
	}
	if pub, ok := s.Public().(*ecdsa.PublicKey); !ok || !pub.Equal(key.ECDSA()) {
		t.Errorf("the public key is %T", s.Public())
	}
	msg := []byte("pay 5 to bob")
	for name, call := range map[string]struct {
		sign func() ([]byte, error)
		id   string
	}{
		"message":        {func() ([]byte, error) { return s.SignMessage(rand.Reader, msg, nil) }, sm.DefaultID},
		"message, id":    {func() ([]byte, error) { return s.SignMessage(nil, msg, RawMessage{ID: []byte("alice")}) }, "alice"},
		"raw option":     {func() ([]byte, error) { return s.Sign(rand.Reader, msg, RawMessage{}) }, sm.DefaultID},
		"the std helper": {func() ([]byte, error) { return crypto.SignMessage(s, rand.Reader, msg, crypto.Hash(0)) }, sm.DefaultID},
	} {
		der, err := call.sign()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		sig, err := sm.ParseSignatureDER(der)
		if err != nil || !sm.Verify(key, msg, []byte(call.id), sig) {
			t.Errorf("%s: the signature does not verify: %v", name, err)
		}
	}
	for name, opts := range map[string]crypto.SignerOpts{"no option": nil, "SHA-256": crypto.SHA256} {
		if _, err := s.Sign(rand.Reader, msg, opts); !errors.Is(err, core.Usage) {
			t.Errorf("%s: %v, want usage", name, err)
		}
	}
	if _, err := s.SignMessage(nil, msg, crypto.SHA256); !errors.Is(err, core.Usage) {
		t.Errorf("SignMessage with a hash: %v, want usage", err)
	}

	for _, form := range []Form{FormDER, FormRaw, FormEnvelope} {
		ct, _, err := c.Encrypt(t.Context(), msg, PublicKey{}, form)
		if err != nil {
			t.Fatal(err)
		}
		if plain, err := s.Decrypt(nil, ct, nil); err != nil || !bytes.Equal(plain, msg) {
			t.Errorf("form %v: %q, %v", form, plain, err)
		}
	}
	if _, err := s.Decrypt(nil, []byte("x"), 5); !errors.Is(err, core.Usage) {
		t.Errorf("decrypt with options: %v, want usage", err)
	}
}

// A certificate request made by smx509 over the signer is one OpenSSL accepts,
// and another's key or a flipped bit is not.
func TestCertificateRequest(t *testing.T) {
	_, c, _ := initialised(t, func(o *Options) { o.InProcess = true })
	s, err := c.Signer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	der, err := smx509.CreateCertificateRequest(rand.Reader, &smx509.CertificateRequest{
		Subject: pkix.Name{CommonName: "alice", Organization: []string{"Example"}}, DNSNames: []string{"alice.example.org"},
	}, s)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := smx509.ParseCertificateRequest(der)
	if err != nil || csr.CheckSignature() != nil || csr.Subject.CommonName != "alice" {
		t.Fatalf("smx509 reads another request: %v", err)
	}
	out, err := exec.Command("openssl", "version").Output()
	if err != nil || !strings.HasPrefix(string(out), "OpenSSL 3.") {
		t.Skip("no OpenSSL 3 here")
	}
	verify := func(der []byte) (string, error) {
		file := filepath.Join(t.TempDir(), "alice.csr")
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("openssl", "req", "-in", file, "-verify", "-noout", "-vfyopt", "distid:"+sm.DefaultID).CombinedOutput()
		return string(out), err
	}
	if out, err := verify(der); err != nil || !strings.Contains(out, "verify OK") {
		t.Errorf("openssl req -verify: %v\n%s", err, out)
	}
	bad := bytes.Replace(der, []byte("alice.example.org"), []byte("malic.example.org"), 1)
	if out, _ := verify(bad); strings.Contains(out, "verify OK") {
		t.Errorf("an altered request is accepted: %s", out)
	}
}

// A batch asks each factor of the set once, however many messages it signs.
func TestBatchAsksOnce(t *testing.T) {
	var asked []string
	_, c, _ := initialised(t, func(o *Options) {
		o.InProcess = true
		answers := o.Prompter
		o.Prompter = PrompterFunc(func(ctx context.Context, q Prompt) (Sample, error) {
			if q.Purpose == core.PurposeRecover {
				asked = append(asked, q.Label)
			}
			return answers.Ask(ctx, q)
		})
	})
	asked = nil
	one, err := c.SignBatch(t.Context(), [][]byte{[]byte("a")}, SignRequest{})
	if err != nil || len(one) != 1 {
		t.Fatal(len(one), err)
	}
	want := slices.Clone(asked)
	asked = nil
	many := make([][]byte, 20)
	for i := range many {
		many[i] = []byte{byte(i)}
	}
	sigs, err := c.SignBatch(t.Context(), many, SignRequest{})
	if err != nil || len(sigs) != len(many) {
		t.Fatal(len(sigs), err)
	}
	if len(want) == 0 || !slices.Equal(asked, want) {
		t.Errorf("twenty messages ask %v, one asks %v", asked, want)
	}
	if seen := slices.Compact(slices.Sorted(slices.Values(asked))); len(seen) != len(asked) {
		t.Errorf("a factor is asked twice: %v", asked)
	}
}
