package server

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/sscc"
	"github.com/keposs/keposs/escrow/transfer"
)

// Snapshot writes the whole database to a new file, mode 0600, durable when it
// returns. SS-CC does not run; where several share the database, none does.
func (f Folder) Snapshot(ctx context.Context, out string, progress func(transfer.Progress)) (r transfer.SnapshotReport, err error) {
	const op = "ss-cc snapshot"
	if _, err := os.Lstat(out); err == nil {
		return r, core.Errorf(core.State, op, "%s is already there", out)
	}
	err = f.atRest(ctx, op, func(s transfer.Store) error {
		t, err := os.CreateTemp(filepath.Dir(out), ".new-*")
		if err != nil {
			return core.Errorf(core.Usage, op, "%w", err)
		}
		defer os.Remove(t.Name()) // fails once it has its name
		r, err = transfer.Snapshot(ctx, s, t, time.Now().Unix(), progress)
		if serr := errors.Join(t.Chmod(0o600), t.Sync(), t.Close()); err == nil && serr != nil {
			err = core.Errorf(core.Exhausted, op, "write %s: %w", out, serr)
		}
		if err != nil {
			return err
		}
		if err := os.Rename(t.Name(), out); err != nil {
			return core.Errorf(core.Environment, op, "%w", err)
		}
		return syncDir(filepath.Dir(out))
	})
	return r, err
}

// Restore puts a snapshot of this realm into its empty database. Every user in
// it is frozen when SS-CC is next unsealed, until the administrator unlocks
// them: a snapshot gives no try back (I7).
func (f Folder) Restore(ctx context.Context, in string, progress func(transfer.Progress)) (r transfer.SnapshotReport, err error) {
	const op = "ss-cc restore"
	realm, err := f.LoadRealm(op)
	if err != nil {
		return r, err
	}
	open := func() (io.ReadCloser, error) {
		file, err := os.Open(in)
		if err != nil {
			return nil, core.Errorf(core.Usage, op, "%w", err)
		}
		return file, nil
	}
	ours := func(boot core.Record) error {
		id, err := sscc.BootRealm(boot)
		if err == nil && id != realm.Realm {
			err = core.Errorf(core.State, op, "this is a snapshot of realm %s, and this folder is realm %s", id, realm.Realm)
		}
		return err
	}
	err = f.atRest(ctx, op, func(s transfer.Store) error {
		r, err = transfer.Restore(ctx, s, open, transfer.RestoreOptions{Last: sscc.BootKey(), Accept: ours, Mark: sscc.RestoredMark(), Progress: progress})
		return err
	})
	return r, err
}

// VerifySnapshot checks a snapshot file: whole, unchanged, in order.
func VerifySnapshot(in string) (r transfer.SnapshotReport, err error) {
	file, err := os.Open(in)
	if err != nil {
		return r, core.Errorf(core.Usage, "ss-cc verify", "%w", err)
	}
	defer file.Close()
	return transfer.Read(file, nil)
}

// VerifyStore reads every record of the database and returns its digest, which
// equals a snapshot's `store` when nothing was written since.
func (f Folder) VerifyStore(ctx context.Context, progress func(transfer.Progress)) (r transfer.SnapshotReport, err error) {
	err = f.atRest(ctx, "ss-cc verify", func(s transfer.Store) error {
		r, err = transfer.Snapshot(ctx, s, io.Discard, 0, progress)
		return err
	})
	r.Digest, r.Bytes, r.Created = "", 0, 0
	return r, err
}
