package client

import (
	"context"
	"errors"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/escrow/api"
)

// A session is the channel to SS-CC with the device key it was opened under.
type session struct {
	*api.Conn
	key *sm.PrivateKey
}

// Close ends the session and wipes the device key.
func (s session) Close() error {
	defer s.key.Wipe()
	return s.Conn.Close()
}

var _ mstcc.Escrow = session{}

// dial opens the channel with the device key of the key store. SS-CC must show
// the identity that provisioning pinned.
func (b *Binding) dial(ctx context.Context, keys mstcc.KeyStore) (mstcc.Escrow, error) {
	server, err := b.module()
	if err != nil {
		return nil, err
	}
	key, err := loadDeviceKey(ctx, keys)
	if err != nil {
		return nil, err
	}
	conn, err := api.Dial(ctx, api.Peer{
		Endpoint: b.Endpoint, CA: b.CA, Realm: b.Realm, App: b.App, Device: b.Device,
		Server: server.Server, Key: key,
	})
	if err != nil {
		key.Wipe()
		return nil, err
	}
	return session{conn, key}, nil
}

// loadDeviceKey reads the device key; the caller wipes it. A binding names it,
// so an absent key is Integrity.
func loadDeviceKey(ctx context.Context, keys mstcc.KeyStore) (*sm.PrivateKey, error) {
	const op = "client: device key"
	d, err := keys.Load(ctx, deviceKeyName)
	if errors.Is(err, core.NotFound) {
		return nil, core.Errorf(core.Integrity, op, "it is gone from the key store: restore it, or provision another folder with a new ticket")
	}
	if err != nil {
		return nil, err
	}
	defer d.Wipe()
	k, err := sm.NewPrivateKey(d.Bytes())
	if err != nil {
		return nil, core.Errorf(core.Integrity, op, "the key store holds something else: %w", err)
	}
	return k, nil
}
