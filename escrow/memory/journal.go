package memory

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/internal/codec"
)

// A journal is the log file: entries of u8 key length (0 = a fence, then 8
// bytes), key, u32 length, codec record. A short last entry is a write that was
// never acknowledged and is cut off; anything else that does not check is
// Corrupt. A nil journal keeps nothing.
type journal struct {
	f      *os.File
	buf    []byte
	failed error // a log that failed to sync is not written to again
}

func openJournal(path string, put func(core.Record, bool), fence func(uint64)) (*journal, error) {
	const op = "escrow/memory: open log"
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, core.Errorf(core.Unavailable, op, "%w", err)
	}
	if err := lock(f); err != nil {
		_ = f.Close()
		return nil, core.Errorf(core.Unavailable, op, "%s is held by another process: %w", path, err)
	}
	good, err := replay(f, put, fence)
	if err == nil {
		err = f.Truncate(good)
	}
	if err == nil {
		_, err = f.Seek(good, io.SeekStart)
	}
	if err != nil {
		_ = f.Close()
		if core.CodeOf(err) == core.Corrupt {
			return nil, err
		}
		return nil, core.Errorf(core.Unavailable, op, "%w", err)
	}
	return &journal{f: f}, nil
}

// replay returns the length of the whole entries in f.
func replay(f *os.File, put func(core.Record, bool), fence func(uint64)) (int64, error) {
	b, err := io.ReadAll(f)
	if err != nil {
		return 0, err
	}
	for pos := 0; ; {
		key, body, fenced, size := cut(b[pos:])
		if size == 0 {
			return int64(pos), nil
		}
		if key == nil {
			fence(fenced)
		} else {
			m, blob, err := codec.DecodeRecord(key, body)
			if err != nil {
				return 0, err
			}
			put(core.Record{Key: bytes.Clone(key), Version: m.Version, Hot: m.Hot, Blob: blob, ReqID: m.ReqID}, m.Deleted)
		}
		pos += size
	}
}

// cut takes the first entry off b; size 0 means that none is whole.
func cut(b []byte) (key core.Key, body []byte, fence uint64, size int) {
	if len(b) == 0 {
		return nil, nil, 0, 0
	}
	n := int(b[0])
	if n == 0 {
		if len(b) < 9 {
			return nil, nil, 0, 0
		}
		return nil, nil, binary.BigEndian.Uint64(b[1:]), 9
	}
	if len(b) < 1+n+4 {
		return nil, nil, 0, 0
	}
	l := uint64(binary.BigEndian.Uint32(b[1+n:]))
	if uint64(len(b)) < uint64(1+n+4)+l {
		return nil, nil, 0, 0
	}
	return b[1 : 1+n], b[1+n+4:][:l], 0, 1 + n + 4 + int(l)
}

func (j *journal) add(r core.Record, deleted bool) {
	if j == nil {
		return
	}
	m := codec.Meta{Version: r.Version, Deleted: deleted, ReqID: r.ReqID, Hot: r.Hot}
	if !deleted {
		m.BlobRev = r.Version
	}
	rec := codec.EncodeRecord(nil, r.Key, m, r.Blob)
	j.buf = append(append(j.buf, byte(len(r.Key))), r.Key...)
	j.buf = append(binary.BigEndian.AppendUint32(j.buf, uint32(len(rec))), rec...)
}

func (j *journal) addFence(fence uint64) {
	if j != nil {
		j.buf = binary.BigEndian.AppendUint64(append(j.buf, 0), fence)
	}
}

// sync makes everything added durable. After a failure nobody knows what the
// disk holds, so every later call fails too.
func (j *journal) sync() error {
	const op = "escrow/memory: sync log"
	if j == nil || len(j.buf) == 0 && j.failed == nil {
		return nil
	}
	if j.failed != nil {
		j.buf = nil
		return core.Errorf(core.Unavailable, op, "stopped after an earlier failure: %w", j.failed)
	}
	_, err := j.f.Write(j.buf)
	if err == nil {
		err = j.f.Sync()
	}
	j.buf = j.buf[:0]
	if err != nil {
		j.failed = err
		return core.Errorf(core.Indeterminate, op, "%w", err)
	}
	return nil
}

func (j *journal) close() error {
	if j == nil {
		return nil
	}
	return errors.Join(j.failed, j.f.Close())
}
