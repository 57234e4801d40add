// Package pgserver runs the machine's PostgreSQL for tests and for the
// laboratory: fresh clusters in folders of their own, reached by unix socket,
// with fsync on, alone or as a primary with quorum-synchronous standbys.
package pgserver

import (
	"errors"
	"net"
	"strings"
)

// ErrAbsent says that there is no PostgreSQL to run here; what is wrapped with it says why.
var ErrAbsent = errors.New("no PostgreSQL server here")

// Options of StartWith.
type Options struct {
	Standbys int
	// Buffers is shared_buffers; "" = little.
	Buffers string
	// TCP has every server listen on 127.0.0.1 too, at a port of its own.
	TCP bool
	// PEM texts: with them TCP is TLS, and a client shows a certificate that CA
	// signed and that names its user.
	Cert, Key, CA string
}

// DSNAt is the connection string of a cluster reached at addresses of host and
// port, proxies for example: whoever takes writes.
func DSNAt(addrs []string) (string, error) {
	hosts, ports := make([]string, len(addrs)), make([]string, len(addrs))
	for i, a := range addrs {
		var err error
		if hosts[i], ports[i], err = net.SplitHostPort(a); err != nil {
			return "", err
		}
	}
	return "host=" + strings.Join(hosts, ",") + " port=" + strings.Join(ports, ",") + " user=postgres dbname=postgres", nil
}
