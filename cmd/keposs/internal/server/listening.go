package server

import (
	"crypto/tls"
	"errors"
	"io/fs"
	"net"
	"os"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/escrow/api"
)

// Listening is listening.json: how commands on this machine reach the process.
type Listening struct {
	Endpoint string `json:"endpoint"` // host:port for this machine
	Public   string `json:"public"`   // host:port for tickets
	PID      int    `json:"pid"`
	Backend  string `json:"backend"`
}

// writeListening says where the process listens. An unspecified address is
// reached over loopback; tickets name the first configured host.
func (f Folder) writeListening(r Ready, c *Config) error {
	const op = "ss-cc serve"
	host, port, err := net.SplitHostPort(r.Listening)
	if err != nil {
		return core.Errorf(core.Internal, op, "%w", err)
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip.To4() == nil {
			host = "::1"
		}
	}
	out := Listening{Endpoint: net.JoinHostPort(host, port), PID: r.PID, Backend: r.Backend}
	out.Public = out.Endpoint
	if first := c.Hosts[0]; first != DefaultHosts[0] {
		out.Public = net.JoinHostPort(first, port)
	}
	return f.writeJSON(op, listeningFile, out, 0o644)
}

func (f Folder) forgetListening() error {
	if err := os.Remove(f.path(listeningFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return core.Errorf(core.Environment, "ss-cc serve", "%w", err)
	}
	return nil
}

// Find tells where the process of this folder listens and which certificate
// authority vouches for it. State when there is no SS-CC, Unavailable when none
// runs.
func (f Folder) Find(op string) (l Listening, ca string, err error) {
	if !f.exists() {
		return l, "", f.missing(op)
	}
	b, err := f.read(op, caFile)
	if err != nil {
		return l, "", err
	}
	err = f.readJSON(op, listeningFile, &l)
	if core.CodeOf(err) == core.NotFound {
		err = core.Errorf(core.Unavailable, op, "no SS-CC is running from %s: start it with `keposs ss-cc serve`", string(f))
	}
	return l, string(b), err
}

// LoadRealm reads realm.json; State when the folder was never set up.
func (f Folder) LoadRealm(op string) (*Realm, error) {
	r := &Realm{}
	err := f.readJSON(op, realmFile, r)
	if core.CodeOf(err) == core.NotFound {
		return nil, f.missing(op)
	}
	return r, err
}

// tls loads the certificate and its key.
func (f Folder) tls(op string) (*tls.Config, error) {
	cert, err := f.read(op, certFile)
	if err != nil {
		return nil, err
	}
	key, err := f.read(op, keyFile)
	if err != nil {
		return nil, err
	}
	defer secret.Zero(key)
	return api.ServerTLS(cert, key)
}
