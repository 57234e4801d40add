package transfer

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/sm"
)

// SnapshotReport tells what a snapshot file holds.
type SnapshotReport struct {
	Records    uint64 `json:"records"`
	Tombstones uint64 `json:"tombstones"`
	Bytes      uint64 `json:"bytes"` // of the file
	Created    int64  `json:"created"`
	Digest     string `json:"digest"` // last link of the file's chain
	Store      string `json:"store"`  // digest of the records, as migrate prints it
}

// Snapshot writes every record of from to w, which the caller syncs and closes.
// Nobody may write to from meanwhile. A store that was moved is State.
func Snapshot(ctx context.Context, from Store, w io.Writer, unix int64, progress func(Progress)) (r SnapshotReport, err error) {
	to, err := Moved(ctx, from)
	if err == nil && to != "" {
		err = core.Errorf(core.State, "transfer: snapshot", "this store was moved to %s: its records are old", to)
	}
	if err != nil {
		return r, err
	}
	f := &writer{w: w}
	f.begin(unix)
	var after core.Key
	var seen uint64
	for {
		p, err := from.Export(ctx, core.ScanRequest{After: after, Limit: pageSize})
		if err != nil {
			return r, err
		}
		for i, rec := range p.Records {
			if !bytes.Equal(rec.Key, markKey()) {
				f.add(rec, dead(p, i))
			}
		}
		seen += uint64(len(p.Records))
		if progress != nil {
			progress(Progress{Phase: "snapshot", Records: seen})
		}
		if p.Next == nil || f.err != nil {
			break
		}
		after = p.Next
	}
	f.end()
	if f.err != nil {
		return r, core.Errorf(core.Exhausted, "transfer: snapshot", "write: %w", f.err)
	}
	s := f.sum.report()
	return SnapshotReport{s.Records, s.Tombstones, f.n, unix, hex.EncodeToString(f.chain[:]), s.Digest}, nil
}

// A writer writes the file's parts; the first error sticks.
type writer struct {
	w     io.Writer
	chain [32]byte
	block []byte
	sum   sum
	n     uint64
	err   error
}

func (f *writer) write(b []byte) {
	if f.err == nil {
		_, f.err = f.w.Write(b)
		f.n += uint64(len(b))
	}
}

func (f *writer) begin(unix int64) {
	head := binary.BigEndian.AppendUint64(append([]byte(fileMagic), fileVersion), uint64(unix))
	f.chain = sm.SM3(head)
	f.write(head)
}

func (f *writer) add(r core.Record, gone bool) {
	f.sum.add(r, gone)
	f.block = appendRecord(f.block, r, gone)
	if len(f.block) >= fullBlock {
		f.flush()
	}
}

func (f *writer) flush() {
	if len(f.block) == 0 {
		return
	}
	f.part(append(binary.BigEndian.AppendUint32([]byte{blockTag}, uint32(len(f.block))), f.block...))
	f.block = f.block[:0]
}

func (f *writer) part(b []byte) {
	f.chain = sm.SM3(append(append([]byte(nil), f.chain[:]...), b...))
	f.write(b)
	f.write(f.chain[:])
}

func (f *writer) end() {
	f.flush()
	b := binary.BigEndian.AppendUint64([]byte{endTag}, f.sum.records)
	f.part(binary.BigEndian.AppendUint64(b, f.sum.dead))
}

// Read checks a snapshot from r and gives every block's records to fn, which
// may be nil, in order; they are valid until fn returns. Nothing is allocated
// beyond one block's bound. Corrupt when the file is not as it was written;
// then fn may have seen the blocks before the fault, each of them whole.
func Read(r io.Reader, fn func(recs []core.Record, gone []bool) error) (out SnapshotReport, err error) {
	f := &reader{r: r}
	head := f.take(headSize)
	if f.err != nil || string(head[:len(fileMagic)]) != fileMagic {
		return out, core.Errorf(core.Corrupt, "transfer: snapshot", "this is no snapshot of keposs")
	}
	if v := head[len(fileMagic)]; v != fileVersion {
		return out, core.Errorf(core.Unsupported, "transfer: snapshot", "a snapshot of version %d; this keposs knows %d", v, fileVersion)
	}
	out.Created = int64(binary.BigEndian.Uint64(head[len(fileMagic)+1:]))
	f.chain = sm.SM3(head)
	for {
		tag := f.take(1)
		switch {
		case f.err != nil:
			return out, f.err
		case tag[0] == endTag:
			return f.end(out, tag)
		case tag[0] != blockTag:
			return out, malformed("an unknown part")
		}
		size := f.take(4)
		if f.err != nil {
			return out, f.err
		}
		n := binary.BigEndian.Uint32(size)
		if n == 0 || n > maxBlock {
			return out, malformed("a block's length is out of bounds")
		}
		body := f.take(int(n))
		f.link(tag, size, body)
		if f.err != nil {
			return out, f.err
		}
		recs, gone, err := f.records(body)
		if err != nil {
			return out, err
		}
		if fn == nil {
			continue
		}
		if err := fn(recs, gone); err != nil {
			return out, err
		}
	}
}

type reader struct {
	r     io.Reader
	chain [32]byte
	last  core.Key
	sum   sum
	n     uint64
	err   error
}

// take reads n bytes, which are the caller's.
func (f *reader) take(n int) []byte {
	if f.err != nil {
		return nil
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(f.r, b); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		f.err = malformed("the end is missing")
	} else if err != nil {
		f.err = core.Errorf(core.Environment, "transfer: snapshot", "read: %w", err)
	}
	f.n += uint64(n)
	return b
}

// link checks the chain after parts.
func (f *reader) link(parts ...[]byte) {
	got := f.take(chainSize)
	if f.err != nil {
		return
	}
	all := append([]byte(nil), f.chain[:]...)
	for _, p := range parts {
		all = append(all, p...)
	}
	if f.chain = sm.SM3(all); !bytes.Equal(got, f.chain[:]) {
		f.err = malformed("the chain does not hold")
	}
}

func (f *reader) records(body []byte) (recs []core.Record, gone []bool, err error) {
	for len(body) > 0 {
		var r core.Record
		var dead bool
		if r, dead, body, err = cutRecord(body); err != nil {
			return nil, nil, err
		}
		if bytes.Compare(r.Key, f.last) <= 0 {
			return nil, nil, malformed("keys do not ascend")
		}
		f.last = r.Key
		f.sum.add(r, dead)
		recs, gone = append(recs, r), append(gone, dead)
	}
	return recs, gone, nil
}

func (f *reader) end(out SnapshotReport, tag []byte) (SnapshotReport, error) {
	counts := f.take(endSize - 1)
	f.link(tag, counts)
	if f.err != nil {
		return out, f.err
	}
	if n, err := f.r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		return out, malformed("something follows the end")
	}
	s := f.sum.report()
	if binary.BigEndian.Uint64(counts) != s.Records || binary.BigEndian.Uint64(counts[8:]) != s.Tombstones {
		return out, malformed("the counts do not hold")
	}
	out.Records, out.Tombstones, out.Bytes = s.Records, s.Tombstones, f.n
	out.Digest, out.Store = hex.EncodeToString(f.chain[:]), s.Digest
	return out, nil
}
