package transfer

import (
	"bytes"
	"context"
	"io"
	"slices"

	"github.com/keposs/keposs/core"
)

// RestoreOptions tells Restore about SS-CC's own records.
type RestoreOptions struct {
	// Last is imported when all others are there; the file must hold it.
	Last core.Key
	// Accept may refuse that record before anything is written; nil = any is good.
	Accept func(core.Record) error
	// Mark is a record that makes SS-CC refuse every try of a restored user
	// until the administrator unlocks them: it is there before anything else.
	Mark     core.Record
	Progress func(Progress)
}

// Restore puts a snapshot into a store that holds no SS-CC. The file is read
// twice: open returns it from its beginning, and nothing is written before all
// of it was checked. Interrupted, it is run again with the same file.
//
// Restored counters may be older than what was answered since. Mark says so.
// req: X-15
func Restore(ctx context.Context, to Store, open func() (io.ReadCloser, error), o RestoreOptions) (r SnapshotReport, err error) {
	const op = "transfer: restore"
	have, err := to.GetMany(ctx, []core.Key{o.Last, o.Mark.Key}, core.ReadOpts{HotOnly: true})
	if err != nil {
		return r, err
	}
	if have[0].Version > 0 || have[1].Version > 0 && !bytes.Equal(have[1].Hot, o.Mark.Hot) {
		return r, core.Errorf(core.State, op, "the store holds an SS-CC: a restore over it could give tries back; give an empty one")
	}
	var last []core.Record
	r, err = readAll(open, func(recs []core.Record, gone []bool) error {
		for i, rec := range recs {
			if bytes.Equal(rec.Key, o.Last) && !gone[i] {
				last = []core.Record{rec}
			}
		}
		return nil
	})
	if err != nil {
		return r, err
	}
	if last == nil {
		return r, core.Errorf(core.State, op, "the snapshot holds no SS-CC")
	}
	if o.Accept != nil {
		if err := o.Accept(last[0]); err != nil {
			return r, err
		}
	}
	if have[1].Version == 0 {
		if err := place(ctx, to, []core.Record{o.Mark}, []bool{false}); err != nil {
			return r, err
		}
	}
	var seen uint64
	again, err := readAll(open, func(recs []core.Record, gone []bool) error {
		seen += uint64(len(recs))
		recs, gone = without(recs, gone, o.Last, o.Mark.Key)
		for len(recs) > 0 {
			n := min(len(recs), pageSize)
			if err := place(ctx, to, recs[:n], gone[:n]); err != nil {
				return err
			}
			recs, gone = recs[n:], gone[n:]
		}
		if o.Progress != nil {
			o.Progress(Progress{Phase: "restore", Records: seen})
		}
		return nil
	})
	if err != nil {
		return r, err
	}
	if again.Digest != r.Digest {
		return r, core.Errorf(core.Corrupt, op, "the file changed while it was read")
	}
	if err := dropMark(ctx, to); err != nil {
		return r, err
	}
	return r, place(ctx, to, last, []bool{false})
}

func readAll(open func() (io.ReadCloser, error), fn func([]core.Record, []bool) error) (SnapshotReport, error) {
	f, err := open()
	if err != nil {
		return SnapshotReport{}, err
	}
	defer f.Close()
	return Read(f, fn)
}

// without leaves out the records of some keys.
func without(recs []core.Record, gone []bool, keys ...core.Key) (out []core.Record, dead []bool) {
	for i, r := range recs {
		if !slices.ContainsFunc(keys, func(k core.Key) bool { return bytes.Equal(k, r.Key) }) {
			out, dead = append(out, r), append(dead, gone[i])
		}
	}
	return out, dead
}
