package mstcc

import (
	"context"
	"errors"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

// maxSlots bounds the device secrets that can exist at once: the current
// generation's, the pending one's and a recovery's interim.
const maxSlots = 3

// newDeviceKey makes the device key of a revoke and keeps it beside the one in
// use until SS-CC has taken it.
func (m *Module) newDeviceKey(ctx context.Context) (sm.PublicKey, error) {
	const op = "mstcc: device key"
	if m.cfg.DialNext == nil {
		return sm.PublicKey{}, core.Errorf(core.Unsupported, op, "this terminal cannot change its device key, so it cannot revoke")
	}
	k, err := sm.GenerateKey(m.cfg.Rand)
	if err != nil {
		return sm.PublicKey{}, err
	}
	defer k.Wipe()
	if err := sm.PairTest(k); err != nil {
		return sm.PublicKey{}, core.Errorf(core.Integrity, op, "the new key pair fails its consistency test: %w", err)
	}
	d := k.Scalar()
	defer d.Wipe()
	pub := k.Public()
	return pub, m.cfg.Keys.Store(ctx, DeviceKeyName(2), d)
}

// rotating reports whether the pending generation came with a new device key.
func (m *Module) rotating() bool {
	return m.cfg.DialNext != nil && m.trust != nil && m.trust.Current != nil && m.trust.Pending != nil &&
		m.trust.Pending.Secret != m.trust.Current.Secret
}

// redialNext ends the session under the old device key and opens one under the
// new.
func (m *Module) redialNext(ctx context.Context) (Escrow, error) {
	m.hangUp()
	c, err := m.cfg.DialNext(ctx)
	if err != nil {
		return nil, err
	}
	d, pub, err := m.nextDevice(ctx)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	d.Wipe()
	m.conn = proving{c, m, pub}
	return m.conn, nil
}

// nextDevice is DeviceKeyName(2), which the caller wipes, and its public half.
func (m *Module) nextDevice(ctx context.Context) (d *secret.Buffer, pub sm.PublicKey, err error) {
	if d, err = m.cfg.Keys.Load(ctx, DeviceKeyName(2)); err != nil {
		return nil, pub, err
	}
	k, err := sm.NewPrivateKey(d.Bytes())
	if err != nil {
		d.Wipe()
		return nil, pub, core.Errorf(core.Integrity, "mstcc: device key", "the key store holds something else: %w", err)
	}
	defer k.Wipe()
	return d, k.Public(), nil
}

// hangUp ends the session; the next service dials again.
func (m *Module) hangUp() {
	if m.conn != nil {
		_ = m.conn.Close()
		m.conn = nil
	}
}

// moveDeviceKey makes DeviceKeyName(2), if there is one, the device key in use.
// The session under the old key is over.
func (m *Module) moveDeviceKey(ctx context.Context) (bool, error) {
	d, pub, err := m.nextDevice(ctx)
	if errors.Is(err, core.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer d.Wipe()
	if err := m.cfg.Keys.Store(ctx, DeviceKeyName(1), d); err != nil {
		return false, err
	}
	m.cfg.Step.At("store.devicekey")
	m.cfg.Device = pub
	m.hangUp()
	return true, m.cfg.Keys.Delete(ctx, DeviceKeyName(2))
}

// settle finishes, without a connection, what a crash after a promotion left,
// and deletes secrets that no generation names.
func (m *Module) settle(ctx context.Context) error {
	if m.trust == nil {
		return nil
	}
	j, err := m.loadJournal(ctx)
	if err != nil {
		return err
	}
	if j != nil && m.trust.Pending == nil {
		return m.finishPromotion(ctx)
	}
	if j == nil && m.trust.Pending == nil {
		if err := m.cfg.Keys.Delete(ctx, DeviceKeyName(2)); err != nil {
			return err
		}
	}
	return m.sweepSecrets(ctx)
}

// sweepSecrets deletes device secrets no generation names: whoever finds one
// later would know an anchor that is gone.
func (m *Module) sweepSecrets(ctx context.Context) error {
	named := m.namedSlots()
	for n := uint64(1); n <= maxSlots; n++ {
		if name := deviceSecretName(n); !named[name] {
			if err := m.cfg.Keys.Delete(ctx, name); err != nil {
				return err
			}
		}
	}
	return nil
}
