package server

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

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
	Plugin   struct {
		Version string `json:"version"`
		PID     int    `json:"pid"`
		Trust   string `json:"trust"`
	} `json:"backend_plugin"`
	Reloads int    `json:"reloads"`           // asked for by SIGHUP
	Refused string `json:"refused,omitempty"` // why the last one changed nothing
}

// writeListening says where the process listens. An unspecified address is
// reached over loopback; tickets name the first configured host.
func (f Folder) writeListening(r Ready, c *Config, now *settled) error {
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
	if st := now.store(); st != nil {
		out.Plugin.Version, out.Plugin.PID, out.Plugin.Trust = st.version(), st.pid(), string(st.entry.Trust)
	}
	out.Reloads = now.count
	if now.last != nil {
		out.Refused = now.last.Error()
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

// reloadAnswer is how long the process may take to tell what came of a reload.
const reloadAnswer = reloadLimit + 10*time.Second

// Reload has the running SS-CC take over what it can without a restart and
// waits for what it says. Unavailable when none runs; the process's own refusal
// is in Listening.Refused.
func (f Folder) Reload(ctx context.Context, op string) (before, after Listening, err error) {
	if before, _, err = f.Find(op); err != nil {
		return before, after, err
	}
	if unlock, err := f.lock(op); err == nil { // a killed one left the file: its id may be another's by now
		unlock()
		return before, after, core.Errorf(core.Unavailable, op, "no SS-CC is running from %s: start it with `keposs ss-cc serve`", string(f))
	}
	p, err := os.FindProcess(before.PID)
	if err == nil {
		err = p.Signal(syscall.SIGHUP)
	}
	if err != nil {
		return before, after, core.Errorf(core.Environment, op, "signal process %d: %w", before.PID, err)
	}
	late := time.After(reloadAnswer)
	for {
		if err := f.readJSON(op, listeningFile, &after); err == nil && after.Reloads > before.Reloads {
			return before, after, nil
		}
		select {
		case <-ctx.Done():
			return before, after, core.Errorf(core.Canceled, op, "%w", ctx.Err())
		case <-late:
			return before, after, core.Errorf(core.Timeout, op, "SS-CC did not answer in %v; its log on standard error tells why", reloadAnswer)
		case <-time.After(20 * time.Millisecond):
		}
		after = Listening{}
	}
}
