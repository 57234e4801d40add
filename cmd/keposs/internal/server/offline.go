package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/core/sscc"
)

// Login opens the administrator's session of an SS-CC that serves nobody.
type Login func(context.Context, *sscc.Server) (sscc.Token, error)

// Offline opens the database of an SS-CC that is not running, logs in, runs do
// with the session, and closes everything. It is for what concerns the root
// key's slots, which are few and rarely touched. State when SS-CC runs.
// req: K-10.3-01
func (f Folder) Offline(ctx context.Context, op string, login Login, do func(context.Context, *sscc.Server, sscc.Token) error) error {
	return f.stopped(ctx, op, func(c *Config, st *store) (err error) {
		if err := f.moved(ctx, op, st.Backend); err != nil {
			return err
		}
		s, err := f.newCore(c, st, slog.New(slog.DiscardHandler), nil)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.Close()) }()
		if err := s.Start(ctx); err != nil {
			return err
		}
		tok, err := login(ctx, s)
		if err != nil {
			return err
		}
		defer secret.Zero(tok[:])
		if err := do(ctx, s, tok); err != nil {
			return err
		}
		if s.State() == sscc.EOL {
			return nil // decommissioned: there is no session to end
		}
		return s.Logout(ctx, tok)
	})
}

// keySize is what a new key file holds; maxKeyFile bounds one of the operator's.
const (
	keySize    = 32
	maxKeyFile = 4096
)

// ReadKeyFile returns the content of a key file, one that opens the root key or
// signs releases; the caller wipes it. Integrity when others may read it.
func ReadKeyFile(op, name string) (*secret.Buffer, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, core.Errorf(core.Usage, op, "%w", err)
	}
	defer file.Close()
	st, err := file.Stat()
	if err != nil {
		return nil, core.Errorf(core.Environment, op, "%w", err)
	}
	if privateModes && st.Mode().Perm()&0o077 != 0 {
		return nil, core.Errorf(core.Integrity, op, "%s may be read by others (mode %04o): chmod 0600 it after finding out why", name, st.Mode().Perm())
	}
	buf := secret.New(maxKeyFile + 1)
	defer buf.Wipe()
	n, err := io.ReadFull(file, buf.Bytes())
	switch {
	case err == nil:
		return nil, core.Errorf(core.TooLarge, op, "%s has more than %d bytes", name, maxKeyFile)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return secret.Copy(buf.Bytes()[:n]), nil
	default:
		return nil, core.Errorf(core.Environment, op, "%w", err)
	}
}

// MakeKeyFile writes a new file of random bytes, mode 0600; State when it is
// there.
func MakeKeyFile(op, name string) error {
	b, err := secret.Read(sm.Rand(), keySize)
	if err != nil {
		return core.Errorf(core.Internal, op, "%w", err)
	}
	defer b.Wipe()
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return core.Errorf(core.State, op, "%s is already there", name)
	}
	if err != nil {
		return core.Errorf(core.Usage, op, "%w", err)
	}
	_, err = file.Write(b.Bytes())
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return core.Errorf(core.Exhausted, op, "write %s: %w", name, err)
	}
	return nil
}
