package check

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/keposs/keposs/plugins"
	"github.com/keposs/keposs/plugins/internal/glue"
	"github.com/keposs/keposs/plugins/internal/launch"
)

// session is a program started by hand, without go-plugin: a second reading
// of the protocol document.
type session struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   io.ReadCloser
	dir   string
	line  string // the handshake
	cert  tls.Certificate
	roots *x509.CertPool

	ended chan struct{}
	exit  error

	mu     sync.Mutex
	stdout bytes.Buffer // after the handshake
	stderr bytes.Buffer
}

// certificate is a fresh self-signed pair for "localhost".
func certificate() (tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	c := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return c, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

func command(t Target, env ...string) *exec.Cmd {
	path := t.Path
	if abs, err := filepath.Abs(path); err == nil {
		path = abs // a bare name is the file here, not one in PATH
	}
	cmd := exec.Command(path, t.Args...)
	for _, k := range []string{"PATH", "LANG", "LC_ALL", "SYSTEMROOT"} {
		if v, ok := os.LookupEnv(k); ok {
			cmd.Env = append(cmd.Env, k+"="+v)
		}
	}
	cmd.Env = append(cmd.Env, launch.EnvPlugin+"="+t.Kind+":"+t.Name)
	cmd.Env = append(append(cmd.Env, t.Env...), env...)
	return cmd
}

// open starts the program and reads its handshake.
func open(ctx context.Context, t Target) (s *session, err error) {
	s = &session{ended: make(chan struct{})}
	var certPEM []byte
	if s.cert, certPEM, err = certificate(); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "keposs-check-"); err != nil {
		return nil, err
	}
	s.cmd = command(t, launch.Handshake.MagicCookieKey+"="+launch.Handshake.MagicCookieValue, "PLUGIN_PROTOCOL_VERSIONS=1",
		"PLUGIN_CLIENT_CERT="+string(certPEM), "PLUGIN_UNIX_SOCKET_DIR="+s.dir, "PLUGIN_MIN_PORT=10000", "PLUGIN_MAX_PORT=25000")
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if s.out, err = s.cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	ownGroup(s.cmd)
	s.cmd.Stderr = writer{s, &s.stderr}
	s.cmd.WaitDelay = time.Second
	if err := s.cmd.Start(); err != nil {
		_ = os.RemoveAll(s.dir)
		return nil, err
	}
	lines := make(chan string, 1)
	go func() {
		r := bufio.NewReaderSize(s.out, 1<<16)
		line, _ := r.ReadString('\n')
		lines <- line
		_, _ = io.Copy(writer{s, &s.stdout}, r)
		s.exit = s.cmd.Wait()
		close(s.ended)
	}()
	select {
	case s.line = <-lines:
	case <-time.After(launch.Timeout):
		err = fmt.Errorf("no handshake within %v", launch.Timeout)
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err == nil && !strings.HasSuffix(s.line, "\n") {
		err = fmt.Errorf("no whole line on standard output, only %.60q", s.line)
	}
	if err == nil {
		err = s.trust()
	}
	if err != nil {
		s.close()
		said := s.said() // whole, now that it has ended
		if m := missing(said); m != nil {
			err = m
		} else if said != "" {
			err = fmt.Errorf("%w; standard error ends with %.200q", err, said)
		}
		return nil, err
	}
	return s, nil
}

type writer struct {
	s *session
	b *bytes.Buffer
}

func (w writer) Write(p []byte) (int, error) {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	if room := 1<<20 - w.b.Len(); room > 0 {
		w.b.Write(p[:min(len(p), room)])
	}
	return len(p), nil
}

func (s *session) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.stderr.Bytes()
	return strings.TrimSpace(string(b[max(0, len(b)-200):]))
}

// trust reads the handshake's fields.
func (s *session) trust() error {
	part := strings.Split(strings.TrimSuffix(s.line, "\n"), "|")
	if len(part) < 6 {
		return fmt.Errorf("the handshake has %d fields, want 6", len(part))
	}
	if part[0] != "1" || part[1] != "1" || part[4] != "grpc" {
		return fmt.Errorf("the handshake says %s|%s|…|%s, want 1|1|…|grpc", part[0], part[1], part[4])
	}
	if part[2] != "unix" && part[2] != "tcp" {
		return fmt.Errorf("%q is no network", part[2])
	}
	der, err := base64.RawStdEncoding.DecodeString(part[5])
	if err != nil {
		return errors.New("the certificate is not base64 without padding")
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return fmt.Errorf("the certificate: %w", err)
	}
	s.roots = x509.NewCertPool()
	s.roots.AddCert(c)
	return nil
}

func (s *session) addr() string {
	part := strings.Split(s.line, "|")
	if part[2] == "unix" {
		return "unix:" + part[3]
	}
	return "passthrough:" + part[3]
}

// dial connects with the given client certificates.
func (s *session) dial(certs ...tls.Certificate) (*grpc.ClientConn, error) {
	c := credentials.NewTLS(&tls.Config{Certificates: certs, RootCAs: s.roots, ServerName: "localhost", MinVersion: tls.VersionTLS12})
	return grpc.NewClient(s.addr(), append(glue.DialOptions(), grpc.WithTransportCredentials(c))...)
}

// waitExit waits for the end of the program.
func (s *session) waitExit(within time.Duration) error {
	start := time.Now()
	select {
	case <-s.ended:
		return nil
	case <-time.After(within):
		return fmt.Errorf("still running after %v", time.Since(start).Round(time.Millisecond))
	}
}

func (s *session) close() {
	_ = s.stdin.Close()
	if s.waitExit(200*time.Millisecond) != nil {
		killGroup(s.cmd.Process)
		if s.waitExit(time.Second) != nil {
			_ = s.out.Close() // a helper that left the group holds it
		}
		<-s.ended
	}
	_ = os.RemoveAll(s.dir)
}

// supervised is the plugin as a host runs it.
func supervised(t Target) (*plugins.Supervisor, plugins.Entry, error) {
	e, err := t.entry()
	return plugins.NewSupervisor(plugins.Options{Unpinned: true}), e, err
}
