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

// dial opens the channel with a device key of the key store. SS-CC must show
// the identity that provisioning pinned.
func (b *Binding) dial(ctx context.Context, keys mstcc.KeyStore, name string) (mstcc.Escrow, error) {
	server, err := b.module()
	if err != nil {
		return nil, err
	}
	key, err := loadDeviceKey(ctx, keys, name)
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

// deviceKey is the public half of the device key in use. After a revoke it is
// not the one the binding was made with; that one stands in for a key that is
// gone, so that the folder can still be looked at and erased.
func (b *Binding) deviceKey(keys mstcc.KeyStore) (sm.PublicKey, error) {
	key, err := loadDeviceKey(context.Background(), keys, deviceKeyName)
	if err != nil {
		return b.devicePublic()
	}
	defer key.Wipe()
	return key.Public(), nil
}

// loadDeviceKey reads a device key; the caller wipes it. A binding stands for
// it, so an absent key is Integrity.
func loadDeviceKey(ctx context.Context, keys mstcc.KeyStore, name string) (*sm.PrivateKey, error) {
	const op = "client: device key"
	d, err := keys.Load(ctx, name)
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
