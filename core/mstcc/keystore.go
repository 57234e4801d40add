package mstcc

import (
	"bytes"
	"context"
	"crypto/subtle"
	"fmt"
	"os"
	"path/filepath"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

// A KeyStore keeps the terminal's own secrets: device secrets, which open the
// anchor, and the device key, which opens the channel. It is durable at
// return. A TPM or an OS store plugs in here; FileKeyStore is the default.
type KeyStore interface {
	// Load returns a copy owned by the caller, or NotFound, or Integrity.
	Load(ctx context.Context, name string) (*secret.Buffer, error)
	// Store replaces name's value; s is lent.
	Store(ctx context.Context, name string, s *secret.Buffer) error
	// Delete destroys the value; an absent name is fine.
	Delete(ctx context.Context, name string) error
}

// DeviceKeyName is the KeyStore name of the n-th device key: 1 is the one in
// use, 2 exists only while a revoke replaces it.
func DeviceKeyName(n uint64) string { return fmt.Sprintf("device-key-%d", n) }

// FileKeyStore keeps each secret in one 0600 file of a 0700 folder. It protects
// against other users of the machine, not against a thief of the disk: that
// attacker is D of the threat model.
type FileKeyStore struct{ dir string }

// keyFileMagic opens every key file, version 1: magic ‖ SM3(secret)[:8] ‖ secret.
var keyFileMagic = []byte("KEPOSS-KEY\x00\x01")

const (
	keyFileSum = 8
	maxKeyFile = 1 << 10
)

// NewFileKeyStore uses dir, creating it with mode 0700. A folder or file that
// others may enter or read is Integrity.
func NewFileKeyStore(dir string) (*FileKeyStore, error) {
	const op = "key store"
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, core.Errorf(core.Environment, op, "create %s: %w", dir, err)
	}
	if err := privateMode(dir); err != nil {
		return nil, err
	}
	sweepTemps(dir)
	return &FileKeyStore{dir: dir}, nil
}

// Load implements KeyStore.
func (k *FileKeyStore) Load(_ context.Context, name string) (*secret.Buffer, error) {
	const op = "key store: load"
	if err := checkKeyName(name); err != nil {
		return nil, err
	}
	raw, err := readFile(k.dir, name)
	if err != nil {
		return nil, err
	}
	defer secret.Zero(raw)
	if err := privateMode(filepath.Join(k.dir, name)); err != nil {
		return nil, err
	}
	head := len(keyFileMagic) + keyFileSum
	if len(raw) <= head || len(raw) > maxKeyFile || !bytes.Equal(raw[:len(keyFileMagic)], keyFileMagic) {
		return nil, core.Errorf(core.Integrity, op, "%s is not a key file of version 1", name)
	}
	sum := sm.SecretSM3(raw[head:])
	defer sum.Wipe()
	if subtle.ConstantTimeCompare(sum.Bytes()[:keyFileSum], raw[len(keyFileMagic):head]) != 1 {
		return nil, core.Errorf(core.Integrity, op, "%s is damaged: use the recovery sheet", name)
	}
	return secret.Copy(raw[head:]), nil
}

// Store implements KeyStore.
func (k *FileKeyStore) Store(_ context.Context, name string, s *secret.Buffer) error {
	if err := checkKeyName(name); err != nil {
		return err
	}
	head := len(keyFileMagic) + keyFileSum
	if s.Len() == 0 || head+s.Len() > maxKeyFile {
		return core.Errorf(core.Invalid, "key store: store", "%s: empty or too long", name)
	}
	raw := make([]byte, 0, head+s.Len())
	defer func() { secret.Zero(raw[:cap(raw)]) }()
	sum := sm.SecretSM3(s.Bytes())
	defer sum.Wipe()
	raw = append(raw, keyFileMagic...)
	raw = append(raw, sum.Bytes()[:keyFileSum]...)
	raw = append(raw, s.Bytes()...)
	return writeFile(k.dir, name, raw)
}

// Delete implements KeyStore. The bytes are overwritten first; on copy-on-write
// file systems and flash that is best effort, which docs/threat-model.md says.
func (k *FileKeyStore) Delete(_ context.Context, name string) error {
	if err := checkKeyName(name); err != nil {
		return err
	}
	path := filepath.Join(k.dir, name)
	if f, err := os.OpenFile(path, os.O_WRONLY, 0); err == nil {
		if st, err := f.Stat(); err == nil && st.Mode().IsRegular() && st.Size() <= maxKeyFile {
			_, _ = f.Write(make([]byte, st.Size()))
			_ = f.Sync()
		}
		_ = f.Close()
	}
	return removeFile(k.dir, name)
}

func checkKeyName(name string) error {
	ok := name != "" && len(name) <= 64
	for _, r := range name {
		ok = ok && (r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-')
	}
	if !ok {
		return core.Errorf(core.Invalid, "key store", "name %q, want [a-z0-9-]{1,64}", name)
	}
	return nil
}
