package mstcc

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mf"
	"github.com/keposs/keposs/core/secret"
)

// localFiles names the terminal's authenticated files in Config.Dir. Each is
// sealed by core/mf under the device secret of the slot it names.
var localFiles = map[mf.FileKind]string{
	mf.FileTrust:   "trust",
	mf.FileFails:   "tries",
	mf.FileJournal: "journal",
	mf.FileProfile: "profile",
}

// deviceSecretName is the KeyStore name of the n-th device secret.
func deviceSecretName(n uint64) string { return fmt.Sprintf("device-secret-%d", n) }

// deviceSecret loads the secret of a slot. An absent one is Integrity: a
// record names it, so it was there.
func (m *Module) deviceSecret(ctx context.Context, slot string) (*secret.Buffer, error) {
	s, err := m.cfg.Keys.Load(ctx, slot)
	if errors.Is(err, core.NotFound) {
		return nil, core.Errorf(core.Integrity, "mstcc", "the device secret is gone from the key store: recover with the sheet")
	}
	return s, err
}

// readLocal returns the verified body of a local file, or NotFound.
func (m *Module) readLocal(ctx context.Context, kind mf.FileKind) ([]byte, error) {
	raw, err := readFile(m.cfg.Dir, localFiles[kind])
	if err != nil {
		return nil, err
	}
	slot, err := mf.FileSlot(kind, raw)
	if err != nil {
		return nil, err
	}
	key, err := m.deviceSecret(ctx, slot)
	if err != nil {
		return nil, err
	}
	defer key.Wipe()
	return mf.OpenFile(kind, raw, key)
}

// writeLocal seals body under slot's device secret and replaces the file.
func (m *Module) writeLocal(ctx context.Context, kind mf.FileKind, slot string, body []byte) error {
	key, err := m.deviceSecret(ctx, slot)
	if err != nil {
		return err
	}
	defer key.Wipe()
	raw, err := mf.SealFile(kind, slot, key, body)
	if err != nil {
		return err
	}
	return writeFile(m.cfg.Dir, localFiles[kind], raw)
}

// dropLocal removes a local file.
func (m *Module) dropLocal(kind mf.FileKind) error { return removeFile(m.cfg.Dir, localFiles[kind]) }

// slot names the device secret that authenticates the local files now.
func (m *Module) slot() string {
	if m.trust == nil {
		return m.interim
	}
	if m.trust.Current != nil {
		return m.trust.Current.Secret
	}
	return m.trust.Pending.Secret
}

// saveTrust seals the trust record under slot's secret.
func (m *Module) saveTrust(ctx context.Context, t *mf.TrustRecord, slot string) error {
	key, err := m.deviceSecret(ctx, slot)
	if err != nil {
		return err
	}
	defer key.Wipe()
	raw, err := t.Encode(slot, key)
	if err != nil {
		return err
	}
	if err := writeFile(m.cfg.Dir, localFiles[mf.FileTrust], raw); err != nil {
		return err
	}
	m.trust = t
	return nil
}

// loadTrust returns nil when the module was never used.
func (m *Module) loadTrust(ctx context.Context) (*mf.TrustRecord, error) {
	raw, err := readFile(m.cfg.Dir, localFiles[mf.FileTrust])
	if errors.Is(err, core.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	slot, err := mf.TrustSlot(raw)
	if err != nil {
		return nil, err
	}
	key, err := m.deviceSecret(ctx, slot)
	if err != nil {
		return nil, err
	}
	defer key.Wipe()
	return mf.OpenTrustRecord(raw, key)
}

// saveTries makes the counter durable; one that is so already costs nothing.
func (m *Module) saveTries(ctx context.Context) error {
	if m.saved != nil && bytes.Equal(m.saved, m.tries.marshal()) {
		return nil
	}
	return m.writeTries(ctx, m.slot())
}

// writeTries writes the counter under slot's device secret, changed or not.
func (m *Module) writeTries(ctx context.Context, slot string) error {
	body := m.tries.marshal()
	m.saved = nil
	if err := m.writeLocal(ctx, mf.FileFails, slot, body); err != nil {
		return err
	}
	m.saved = body
	return nil
}
