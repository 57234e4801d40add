package transfer

import (
	"bytes"
	"context"
	"io"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/core/step"
)

// pageSize is how many records are read at once.
const pageSize = 500

// A Store is a backend that gives and takes whole stores.
type Store interface {
	core.Backend
	core.Exporter
}

// Of returns b as a Store; Unsupported when it cannot export.
func Of(b core.Backend) (Store, error) {
	if s, ok := b.(Store); ok {
		return s, nil
	}
	return nil, core.Errorf(core.Unsupported, "transfer", "this backend can neither export nor import")
}

// Options of Copy.
type Options struct {
	// Last is the key that is copied when all others are there; nil = none.
	Last core.Key
	// After continues a Copy that was interrupted: the key its last Progress
	// named. What lies before is compared all the same.
	After core.Key
	// Progress hears what was done after each page; nil = nobody.
	Progress func(Progress)
	// Name is what the source says took its place; "" = it says nothing.
	Name string
	// Unix is the time noted beside it, in seconds.
	Unix int64
	Step step.Func // names: migrate.copied, migrate.whole
}

// Progress tells how far a transfer is.
type Progress struct {
	Phase   string   // "copy", "verify", "switch", "snapshot", "restore"
	Records uint64   // seen in this phase, tombstones included
	Copied  uint64   // written to the target in this phase
	After   core.Key // last key of this phase; where to go on
}

// Report is what a finished transfer found.
type Report struct {
	Records    uint64 `json:"records"`    // live ones in the target
	Tombstones uint64 `json:"tombstones"` // deleted keys, which keep their version
	Copied     uint64 `json:"copied"`     // written by this run
	Bytes      uint64 `json:"bytes"`      // of keys and content in the target
	Digest     string `json:"digest"`     // SM3 over all records in key order, equal on both sides
}

// Copy makes to hold what from holds and proves it: after copying, every record
// of both is read again and compared. Nobody may write to either meanwhile.
// Run again after an interruption, it copies only what is missing.
//
// State when to is newer than from or holds records that from does not; Corrupt
// when one version of a record differs.
func Copy(ctx context.Context, from, to Store, o Options) (r Report, err error) {
	const op = "transfer: copy"
	gone, _, err := readMark(ctx, from)
	if err != nil {
		return r, err
	}
	if gone.To != "" && gone.To != o.Name {
		return r, core.Errorf(core.State, op, "this store was moved to %s: its records are old", gone.To)
	}
	p := pass{from: from, to: to, o: o, phase: "copy", after: o.After, fresh: true}
	if err := p.run(ctx); err != nil {
		return r, err
	}
	o.Step.At("migrate.copied")
	copied := p.copied
	// Records written behind the place where an interrupted run went on, or
	// before it, are found here.
	p = pass{from: from, to: to, o: o, phase: "verify", digest: true}
	if err := p.run(ctx); err != nil {
		return r, err
	}
	copied += p.copied
	if o.Last != nil {
		n, err := p.one(ctx, o.Last)
		if err != nil {
			return r, err
		}
		copied += n
	}
	o.Step.At("migrate.whole")
	if err := dropMark(ctx, to); err != nil {
		return r, err
	}
	r = p.sum.report()
	r.Copied = copied
	return r, nil
}

// Retire makes from say that the backend named to took its place.
func Retire(ctx context.Context, from core.Backend, to string, unix int64) error {
	return setMark(ctx, from, to, unix)
}

// A pass walks both stores in key order and writes to the target what it lacks.
type pass struct {
	from, to Store
	o        Options
	phase    string
	after    core.Key
	fresh    bool                // the target may be empty: then it is not read
	moving   func(core.Key) bool // keys that change meanwhile: not compared
	digest   bool

	seen, copied uint64
	sum          sum
}

func (p *pass) run(ctx context.Context) error {
	empty := false
	if p.fresh && p.after == nil {
		first, err := p.to.Export(ctx, core.ScanRequest{Limit: 1})
		if err != nil {
			return err
		}
		empty = len(first.Records) == 0
	}
	for {
		src, err := p.from.Export(ctx, core.ScanRequest{After: p.after, Limit: pageSize})
		if err != nil {
			return err
		}
		var dst core.Page
		if !empty {
			if dst, err = window(ctx, p.to, p.after, src.Next); err != nil {
				return err
			}
		}
		if err := p.merge(ctx, src, dst); err != nil {
			return err
		}
		p.seen += uint64(len(src.Records))
		if len(src.Records) > 0 {
			p.after = src.Records[len(src.Records)-1].Key
		}
		if p.o.Progress != nil {
			p.o.Progress(Progress{p.phase, p.seen, p.copied, p.after})
		}
		if src.Next == nil {
			return nil
		}
	}
}

// window is every record of s after a key up to another, nil = the end.
func window(ctx context.Context, s Store, after, last core.Key) (out core.Page, err error) {
	for {
		p, err := s.Export(ctx, core.ScanRequest{After: after, Limit: pageSize})
		if err != nil {
			return out, err
		}
		for i, r := range p.Records {
			if last != nil && bytes.Compare(r.Key, last) > 0 {
				return out, nil
			}
			out.Records = append(out.Records, r)
			out.Deleted = append(out.Deleted, dead(p, i))
		}
		if p.Next == nil {
			return out, nil
		}
		after = p.Next
	}
}

func dead(p core.Page, i int) bool { return p.Deleted != nil && p.Deleted[i] }

// merge compares one stretch of both and writes what the target lacks.
func (p *pass) merge(ctx context.Context, src, dst core.Page) error {
	const op = "transfer: compare"
	var recs []core.Record
	var gone []bool
	j := 0
	skip := func(k core.Key) bool {
		return bytes.Equal(k, markKey()) || bytes.Equal(k, p.o.Last)
	}
	foreign := func(k core.Key) error {
		if skip(k) || p.moving != nil && p.moving(k) {
			return nil
		}
		return core.Errorf(core.State, op, "the target holds a record that the source does not: give an empty one, or the one an interrupted run left")
	}
	for i, r := range src.Records {
		for ; j < len(dst.Records) && bytes.Compare(dst.Records[j].Key, r.Key) < 0; j++ {
			if err := foreign(dst.Records[j].Key); err != nil {
				return err
			}
		}
		here := j < len(dst.Records) && bytes.Equal(dst.Records[j].Key, r.Key)
		have, haveDead := core.Record{}, false
		if here {
			have, haveDead = dst.Records[j], dst.Deleted[j]
			j++
		}
		if bytes.Equal(r.Key, markKey()) {
			continue
		}
		if p.digest {
			p.sum.add(r, dead(src, i))
		}
		switch {
		case skip(r.Key) || p.moving != nil && p.moving(r.Key):
		case !here || have.Version < r.Version:
			recs, gone = append(recs, r), append(gone, dead(src, i))
		case have.Version > r.Version:
			return core.Errorf(core.State, op, "a record of the target has version %d and the source %d: the target was served, its counters are newer", have.Version, r.Version)
		case !same(r, dead(src, i), have, haveDead):
			return core.Errorf(core.Corrupt, op, "version %d of a record differs between source and target: one of them was changed", r.Version)
		}
	}
	for ; j < len(dst.Records); j++ {
		if err := foreign(dst.Records[j].Key); err != nil {
			return err
		}
	}
	if len(recs) == 0 {
		return nil
	}
	p.copied += uint64(len(recs))
	if p.phase != "verify" { // the pass that verifies reads all of them
		return bring(ctx, p.to, recs, gone)
	}
	return place(ctx, p.to, recs, gone)
}

// one copies a single live record and reads it back.
func (p *pass) one(ctx context.Context, key core.Key) (copied uint64, err error) {
	const op = "transfer: copy"
	src, err := p.from.GetMany(ctx, []core.Key{key}, core.ReadOpts{})
	if err != nil {
		return 0, err
	}
	dst, err := p.to.GetMany(ctx, []core.Key{key}, core.ReadOpts{})
	if err != nil {
		return 0, err
	}
	switch s, d := src[0], dst[0]; {
	case s.Version == 0:
		return 0, core.Errorf(core.State, op, "the source holds no SS-CC: there is nothing to move")
	case d.Version > s.Version:
		return 0, core.Errorf(core.State, op, "the target was served: its records are newer than the source's")
	case d.Version == s.Version && !same(s, false, d, false):
		return 0, core.Errorf(core.State, op, "the target holds another SS-CC: give an empty one")
	case d.Version == s.Version:
		return 0, nil
	}
	return 1, place(ctx, p.to, src, []bool{false})
}

// bring imports records; what is Indeterminate is imported again, which changes
// nothing that is there.
func bring(ctx context.Context, to Store, recs []core.Record, gone []bool) (err error) {
	for range 4 {
		if err = to.Import(ctx, recs, gone); core.CodeOf(err) != core.Indeterminate {
			return err
		}
	}
	return err
}

// place imports records and makes sure that they are there.
func place(ctx context.Context, to Store, recs []core.Record, gone []bool) error {
	if err := bring(ctx, to, recs, gone); err != nil {
		return err
	}
	return check(ctx, to, recs, gone)
}

// check reads records back and compares them.
func check(ctx context.Context, to Store, recs []core.Record, gone []bool) error {
	const op = "transfer: verify"
	keys := make([]core.Key, len(recs))
	for i, r := range recs {
		keys[i] = r.Key
	}
	got, err := to.GetMany(ctx, keys, core.ReadOpts{})
	if err != nil {
		return err
	}
	for i, r := range recs {
		if gone[i] && got[i].Version != 0 || !gone[i] && !same(r, false, got[i], false) {
			return core.Errorf(core.Corrupt, op, "the target does not hold version %d of a record as it was written", r.Version)
		}
	}
	return nil
}

func same(a core.Record, aDead bool, b core.Record, bDead bool) bool {
	return a.Version == b.Version && aDead == bDead && a.ReqID == b.ReqID && bytes.Equal(a.Hot, b.Hot) && bytes.Equal(a.Blob, b.Blob)
}

func newReqID() (id core.ReqID, err error) {
	if _, err = io.ReadFull(sm.Rand(), id[:]); err != nil {
		return id, core.Errorf(core.Internal, "transfer", "random bytes: %w", err)
	}
	return id, nil
}
