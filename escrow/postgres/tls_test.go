package postgres_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/escrow/postgres"
	"github.com/keposs/keposs/escrow/postgres/internal/pgtest"
	"github.com/keposs/keposs/internal/pgserver"
)

// An authority signs certificates for one test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t *testing.T, name string) *authority {
	a := &authority{t: t}
	a.cert, a.key, a.pem, _ = a.sign(name, true)
	return a
}

func (a *authority) sign(name string, ca bool) (*x509.Certificate, *ecdsa.PrivateKey, string, string) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(a.t, err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true, IsCA: ca, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	parent, by := a.cert, a.key
	if parent == nil {
		parent, by = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, by)
	must(a.t, err)
	c, err = x509.ParseCertificate(der)
	must(a.t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(a.t, err)
	return c, key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A server that wants TLS and a certificate of its client gets both, and shows
// one that is checked. A client without one, a server of another authority and
// one under another name are refused, and nothing of them is told as damage.
// req: K-6.2-02a
func TestTLS(t *testing.T) {
	ours, other := newAuthority(t, "ours"), newAuthority(t, "another")
	_, _, cert, key := ours.sign("server", false)
	c := pgtest.With(t, pgserver.Options{TCP: true, Cert: cert, Key: key, CA: ours.pem})
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	_, _, clientCert, clientKey := ours.sign("postgres", false)
	_, _, strangerCert, strangerKey := ours.sign("stranger", false)
	ca, cc, ck := file("ca", ours.pem), file("cert", clientCert), file("key", clientKey)
	host, port, err := net.SplitHostPort(c.Addrs()[0])
	must(t, err)
	for name, x := range map[string]struct {
		host   string
		values map[string]string
		want   core.Code
	}{
		"both":              {host, map[string]string{"tls_ca": ca, "tls_cert": cc, "tls_key": ck}, core.Unknown},
		"no certificate":    {host, map[string]string{"tls_ca": ca}, core.Unavailable},
		"another user":      {host, map[string]string{"tls_ca": ca, "tls_cert": file("cert2", strangerCert), "tls_key": file("key2", strangerKey)}, core.Unavailable},
		"another authority": {host, map[string]string{"tls_ca": file("ca2", other.pem), "tls_cert": cc, "tls_key": ck}, core.Unavailable},
		"another name":      {"localhost", map[string]string{"tls_ca": ca, "tls_cert": cc, "tls_key": ck}, core.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			b := postgres.New()
			t.Cleanup(func() { _ = b.Close() })
			dsn := secret.Copy([]byte("host=" + x.host + " port=" + port + " user=postgres dbname=postgres"))
			err := b.Configure(t.Context(), core.Config{Values: x.values, Secrets: map[string]*secret.Buffer{"dsn": dsn}})
			if x.want != core.Unknown {
				if core.CodeOf(err) != x.want {
					t.Fatalf("%v, want %s", err, x.want)
				}
				return
			}
			must(t, err)
			res, err := b.CommitMany(t.Context(), []core.Mutation{{Key: core.Key("k"), Op: core.OpPut, Hot: []byte("h"), ReqID: core.ReqID{1}}})
			if err != nil || res[0].Err != nil || res[0].Version != 1 {
				t.Fatalf("%+v, %v", res, err)
			}
			if on, err := c.Exec(t.Context(), 0, "select bool_and(ssl) from pg_stat_ssl join pg_stat_activity using (pid) where application_name = 'keposs'"); err != nil || on != "true" {
				t.Errorf("the connections use TLS: %q, %v", on, err)
			}
		})
	}
}
