package api

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
)

// SystemCA is the value of a CA field that means the system's roots.
const SystemCA = "system"

// Bounds of a CA bundle.
const (
	maxCABytes = 32 << 10
	maxCACerts = 8
)

// Certificate is what `ss-cc init` makes when the operator brings none: an
// authority whose key is not kept, and one certificate of it.
type Certificate struct {
	CAPEM   []byte         // pinned by every ticket
	CertPEM []byte         // the server's, for TLS
	KeyPEM  *secret.Buffer // PKCS #8, owned by the caller
}

// NewCertificate makes an ECDSA P-256 authority and a server certificate for
// hosts (names or addresses), both good for life from now. TLS is the outer
// shell; the claim rests on the SM2 session inside. Errors: Usage; Internal.
func NewCertificate(hosts []string, life time.Duration) (Certificate, error) {
	const op = "api: new certificate"
	if len(hosts) == 0 || life <= 0 {
		return Certificate{}, core.Errorf(core.Usage, op, "want at least one host and a life above zero")
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Certificate{}, core.Errorf(core.Internal, op, "%w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Certificate{}, core.Errorf(core.Internal, op, "%w", err)
	}
	from := time.Now().Add(-5 * time.Minute) // a terminal's clock may be behind
	ca := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "keposs SS-CC authority"},
		NotBefore: from, NotAfter: from.Add(life), IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: hosts[0]},
		NotBefore: from, NotAfter: from.Add(life), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			leaf.IPAddresses = append(leaf.IPAddresses, ip)
		} else {
			leaf.DNSNames = append(leaf.DNSNames, h)
		}
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return Certificate{}, core.Errorf(core.Internal, op, "authority: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	if err != nil {
		return Certificate{}, core.Errorf(core.Usage, op, "server certificate for %s: %w", hosts[0], err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Certificate{}, core.Errorf(core.Internal, op, "%w", err)
	}
	defer secret.Zero(raw)
	return Certificate{
		CAPEM:   pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}),
		CertPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		KeyPEM:  secret.Own(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})),
	}, nil
}

// serial is 128 random bits; crypto/rand does not fail.
func serial() *big.Int {
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	return new(big.Int).SetBytes(b)
}

// ServerTLS is the outer shell of a server: TLS 1.3 only. certPEM may hold a
// chain. Both are lent. Errors: Invalid.
func ServerTLS(certPEM, keyPEM []byte) (*tls.Config, error) {
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, core.Errorf(core.Invalid, "api: server tls", "certificate and key: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13}, nil
}

// clientTLS verifies the server by the system's roots or by the bundle ca.
func clientTLS(endpoint, ca string) (*tls.Config, error) {
	const op = "api: tls"
	host, _, err := splitEndpoint(endpoint)
	if err != nil {
		return nil, err
	}
	c := &tls.Config{MinVersion: tls.VersionTLS13, ServerName: host}
	if ca == SystemCA {
		return c, nil
	}
	certs, err := parseCA(ca)
	if err != nil {
		return nil, core.Errorf(core.Invalid, op, "%w", err)
	}
	c.RootCAs = x509.NewCertPool()
	for _, cert := range certs {
		c.RootCAs.AddCert(cert)
	}
	return c, nil
}

// parseCA reads a bundle of 1 to 8 PEM certificates and nothing else. More
// than one lets a certificate be replaced with overlap.
func parseCA(ca string) ([]*x509.Certificate, error) {
	const op = "api: ca"
	if len(ca) > maxCABytes {
		return nil, core.Errorf(core.TooLarge, op, "a bundle of %d bytes, at most %d", len(ca), maxCABytes)
	}
	var certs []*x509.Certificate
	rest := []byte(ca)
	for len(rest) > 0 {
		var block *pem.Block
		if bytes.HasPrefix(rest, []byte("-----BEGIN CERTIFICATE-----\n")) { // no text between
			block, rest = pem.Decode(rest)
		}
		if block == nil {
			return nil, core.Errorf(core.Invalid, op, "want %q or PEM certificates", SystemCA)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, core.Errorf(core.Invalid, op, "certificate %d: %w", len(certs)+1, err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 || len(certs) > maxCACerts {
		return nil, core.Errorf(core.Invalid, op, "%d certificates, want 1 to %d, or %q", len(certs), maxCACerts, SystemCA)
	}
	return certs, nil
}

// splitEndpoint reads host:port.
func splitEndpoint(endpoint string) (host, port string, err error) {
	const op = "api: endpoint"
	if len(endpoint) > maxEndpoint {
		return "", "", core.Errorf(core.TooLarge, op, "%d bytes, at most %d", len(endpoint), maxEndpoint)
	}
	host, port, err = net.SplitHostPort(endpoint)
	if err != nil || host == "" || port == "" {
		return "", "", core.Errorf(core.Invalid, op, "%q: want host:port", endpoint)
	}
	for _, r := range endpoint {
		if r <= ' ' || r > '~' || r == '"' || r == '\\' {
			return "", "", core.Errorf(core.Invalid, op, "%q: want host:port in plain ASCII", endpoint)
		}
	}
	return host, port, nil
}
