//go:build linux

package pgserver

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// named is the port in the name of the socket.
func (n *node) named() int {
	if n.port == 0 {
		return 5432
	}
	return n.port
}

// listen is where a server is to be reached. Its port is chosen once: clients
// know it.
func (c *Cluster) listen(n *node) ([]string, error) {
	if !c.TCP {
		return []string{"-c", "listen_addresses="}, nil
	}
	if n.port == 0 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		n.port = l.Addr().(*net.TCPAddr).Port
		if err := l.Close(); err != nil {
			return nil, err
		}
	}
	args := []string{"-c", "listen_addresses=127.0.0.1", "-p", fmt.Sprint(n.port)}
	if c.Cert != "" {
		args = append(args, "-c", "ssl=on", "-c", "ssl_cert_file="+c.pem("cert"), "-c", "ssl_key_file="+c.pem("key"), "-c", "ssl_ca_file="+c.pem("ca"))
	}
	return args, nil
}

func (c *Cluster) pem(name string) string { return filepath.Join(c.dir, name+".pem") }

// certify writes the files of TLS and has the first server take, over TCP, only
// clients with a certificate that names them; the others copy its data.
func (c *Cluster) certify() error {
	if c.Cert == "" {
		return nil
	}
	for name, text := range map[string]string{"cert": c.Cert, "key": c.Key, "ca": c.CA} {
		if err := os.WriteFile(c.pem(name), []byte(text), 0o600); err != nil {
			return err
		}
		if err := c.own(c.pem(name)); err != nil {
			return err
		}
	}
	rules := "local all all trust\nlocal replication all trust\nhostssl all all 127.0.0.1/32 cert\n"
	return os.WriteFile(filepath.Join(c.nodes[0].data, "pg_hba.conf"), []byte(rules), 0o600)
}

// Addrs are the servers' addresses and ports, in their order; with Options.TCP.
func (c *Cluster) Addrs() []string {
	out := make([]string, len(c.nodes))
	for i, n := range c.nodes {
		out[i] = fmt.Sprint("127.0.0.1:", n.port)
	}
	return out
}
