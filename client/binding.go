package client

import (
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
)

// Binding is what provisioning left: which app and device this is, and whom it
// talks to. It holds no secret; the device key is in the key store.
type Binding struct {
	Version   int         `json:"version"`
	Ticket    protocol.ID `json:"ticket"` // id of the ticket it came from, spent
	App       protocol.ID `json:"app"`
	Device    protocol.ID `json:"device"`
	Realm     protocol.ID `json:"realm"`
	Endpoint  string      `json:"endpoint"`   // host:port of SS-CC
	ServerKey string      `json:"server_key"` // PEM of SS-CC's pinned identity key
	CA        string      `json:"ca"`         // PEM of the certificate authority, or "system"
	DeviceKey string      `json:"device_key"` // PEM of the public key it was enrolled with; a revoke replaces that key
}

// The key store's names of the device key in use and of the one a revoke makes.
var (
	deviceKeyName     = mstcc.DeviceKeyName(1)
	nextDeviceKeyName = mstcc.DeviceKeyName(2)
)

// check refuses a binding that provisioning did not write.
func (b *Binding) check() error {
	const op = "client: binding"
	if b.Version != 1 {
		return core.Errorf(core.Unsupported, op, "version %d, want 1", b.Version)
	}
	if b.App.IsZero() || b.Device.IsZero() || b.Realm.IsZero() || b.Endpoint == "" || b.CA == "" {
		return core.Errorf(core.Integrity, op, "%s lacks a field: provision again", bindingFile)
	}
	if _, err := b.devicePublic(); err != nil {
		return err
	}
	_, err := b.module()
	return err
}

// devicePublic parses the device's public key.
func (b *Binding) devicePublic() (sm.PublicKey, error) {
	k, err := sm.ParsePEM([]byte(b.DeviceKey))
	if err != nil {
		return k, core.Errorf(core.Integrity, "client: binding", "device key: %w", err)
	}
	return k, nil
}

// module is the binding as core/mstcc takes it.
func (b *Binding) module() (*mstcc.Binding, error) {
	k, err := sm.ParsePEM([]byte(b.ServerKey))
	if err != nil {
		return nil, core.Errorf(core.Integrity, "client: binding", "server key: %w", err)
	}
	return &mstcc.Binding{App: b.App, Device: b.Device, Realm: b.Realm, Server: k}, nil
}

// loadBinding reads binding.json; NotFound before provisioning.
func (f *folder) loadBinding() (*Binding, error) {
	var b Binding
	if err := f.readJSON(bindingFile, &b); err != nil {
		return nil, err
	}
	if err := b.check(); err != nil {
		return nil, err
	}
	return &b, nil
}
