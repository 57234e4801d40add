package settings

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"

	"github.com/keposs/keposs/core"
)

// TLSFiles makes a client's TLS configuration from PEM files: the authorities
// that vouch for the server and, if given, the client's certificate and key.
// Empty ca is nil: no TLS from files. The least version is 1.2.
func TLSFiles(op, ca, cert, key string) (*tls.Config, error) {
	if ca == "" && (cert != "" || key != "") || (cert == "") != (key == "") {
		return nil, core.Errorf(core.Invalid, op, "tls_cert and tls_key go together, and with tls_ca")
	}
	if ca == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, core.Errorf(core.Invalid, op, "tls_ca: %w", err)
	}
	t := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	if !t.RootCAs.AppendCertsFromPEM(pem) {
		return nil, core.Errorf(core.Invalid, op, "tls_ca: no certificate in the file")
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, core.Errorf(core.Invalid, op, "tls_cert and tls_key: %w", err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

// Loopback reports whether host, a name or an address without port, is this
// machine, so that no certificate is needed to know it.
func Loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
