package client

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/mstcc/trail"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/escrow/api"
)

// enrolling is what a provisioning under way remembers, so that the same
// command after a crash enrols the same device and not a second one.
type enrolling struct {
	Version int         `json:"version"`
	Ticket  protocol.ID `json:"ticket"`
	Device  protocol.ID `json:"device"`
	Key     string      `json:"device_key"` // PEM of the public key
}

// Provision binds the terminal's folder to an app: it makes the device key in
// the key store, enrols it at SS-CC with the administrator's single-use ticket
// over TLS, and writes the binding last. ticket is lent and holds a secret: the
// caller wipes it.
//
// What came of it is written to the terminal's audit log before it returns, which
// begins with it; a log that was changed is Integrity, and nothing is enrolled.
//
// After a crash the same call completes with the same device; once complete it
// returns the binding again. Another ticket in a provisioned folder is State.
// Refused is all SS-CC says of a ticket that is unknown, used or expired;
// Integrity means the other end did not prove that it knows the ticket.
// req: K-17.1-05, G-7.6-03
func Provision(ctx context.Context, dir string, ticket []byte) (Binding, error) {
	t, err := parseTicket(ticket)
	if err != nil {
		return Binding{}, err
	}
	defer t.Key.Wipe()
	f, err := openFolder(dir)
	if err != nil {
		return Binding{}, err
	}
	unlock, err := f.lock(ctx)
	if err != nil {
		return Binding{}, err
	}
	defer unlock()
	log, err := trail.Open(f.audit())
	if err != nil {
		return Binding{}, err
	}
	b, err := f.provision(ctx, t)
	if rerr := errors.Join(told(log, "provision", err), log.Close()); rerr != nil {
		return Binding{}, rerr
	}
	return b, err
}

// provision does it in a folder that is held.
func (f *folder) provision(ctx context.Context, t *api.Ticket) (Binding, error) {
	have, err := f.loadBinding()
	switch {
	case err == nil && have.Ticket == t.ID:
		return *have, f.forget(enrollingFile)
	case err == nil:
		return Binding{}, core.Errorf(core.State, "client: provision", "this terminal is already provisioned for app %s: deregister first, or use another folder", have.App)
	case !errors.Is(err, core.NotFound):
		return Binding{}, err
	}
	keys, err := mstcc.NewFileKeyStore(f.keys())
	if err != nil {
		return Binding{}, err
	}
	e, err := f.prepareDevice(ctx, keys, t.ID, sm.Rand())
	if err != nil {
		return Binding{}, err
	}
	return f.enrol(ctx, t, e)
}

// parseTicket reads the administrator's file; the caller wipes the key in it.
func parseTicket(b []byte) (*api.Ticket, error) {
	t, err := api.ParseTicket(b)
	if err != nil {
		return nil, core.Errorf(core.CodeOf(err), "client: provision", "the file is no ticket of `keposs admin ticket`: %w", err)
	}
	return t, nil
}

// prepareDevice makes the device's id and key, or finds those of an interrupted
// run with the same ticket. Key first, note second: a note always has its key.
func (f *folder) prepareDevice(ctx context.Context, keys mstcc.KeyStore, ticket protocol.ID, rand io.Reader) (*enrolling, error) {
	const op = "client: provision"
	var e enrolling
	err := f.readJSON(enrollingFile, &e)
	if err == nil && e.Version == 1 && e.Ticket == ticket {
		key, err := loadDeviceKey(ctx, keys, deviceKeyName)
		if err == nil {
			defer key.Wipe()
			if e.Key == string(key.Public().PEM()) {
				return &e, nil
			}
		}
	}
	if err != nil && !errors.Is(err, core.NotFound) {
		return nil, err
	}
	key, err := sm.GenerateKey(rand)
	if err != nil {
		return nil, err
	}
	defer key.Wipe()
	if err := sm.PairTest(key); err != nil {
		return nil, err
	}
	e = enrolling{Version: 1, Ticket: ticket, Key: string(key.Public().PEM())}
	if _, err := io.ReadFull(rand, e.Device[:]); err != nil {
		return nil, core.Errorf(core.Internal, op, "%w", err)
	}
	d := key.Scalar()
	defer d.Wipe()
	if err := keys.Store(ctx, deviceKeyName, d); err != nil {
		return nil, err
	}
	return &e, f.writeJSON(enrollingFile, e)
}

// enrol shows the ticket to SS-CC and keeps the binding once it has answered.
func (f *folder) enrol(ctx context.Context, t *api.Ticket, e *enrolling) (Binding, error) {
	const op = "client: provision"
	key, err := sm.ParsePEM([]byte(e.Key))
	if err != nil {
		return Binding{}, core.Errorf(core.Integrity, op, "%s: %w", enrollingFile, err)
	}
	if err := api.Enrol(ctx, t, e.Device, key); err != nil {
		if errors.Is(err, core.Refused) && time.Now().Unix() > t.Expires {
			err = core.Errorf(core.Refused, op, "the ticket expired at %s: ask the administrator for a new one: %w",
				time.Unix(t.Expires, 0).UTC().Format(time.RFC3339), err)
		}
		return Binding{}, err
	}
	b := Binding{
		Version: 1, Ticket: t.ID, App: t.App, Device: e.Device, Realm: t.Realm, Endpoint: t.Endpoint,
		ServerKey: string(t.Identity.PEM()), CA: t.CA, DeviceKey: e.Key,
	}
	if err := b.check(); err != nil {
		return Binding{}, err
	}
	if err := f.writeJSON(bindingFile, b); err != nil {
		return Binding{}, err
	}
	return b, f.forget(enrollingFile)
}
