package memory

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/internal/codec"
)

// A journal is the log file, entries one after another:
//
//	u32 length of the body, u32 CRC-32C of the body, u32 CRC-32C of these 8 bytes
//	body: u8 key length (0 = a fence, then 8 bytes), key, codec record
//
// Numbers are big endian. A short last entry, or zeros to the end, is a write
// that was never acknowledged and is cut off; anything else that does not check
// is Corrupt: the sum over the head keeps a changed length from looking like a
// short entry, and the head what was acknowledged from being cut off. A nil
// journal keeps nothing.
type journal struct {
	f      *os.File
	head   head
	size   int64 // durable bytes of f
	buf    []byte
	failed error // a log that failed to sync is not written to again
}

func openJournal(path, headPath string, put func(core.Record, bool), fence func(uint64)) (*journal, error) {
	const op = "escrow/memory: open log"
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, core.Errorf(core.Unavailable, op, "%w", err)
	}
	if err := lock(f); err != nil {
		_ = f.Close()
		return nil, core.Errorf(core.Unavailable, op, "%s is held by another process: %w", path, err)
	}
	j := &journal{f: f}
	if err := j.load(headPath, put, fence); err != nil {
		_ = f.Close()
		if core.CodeOf(err) != core.Unknown {
			return nil, err
		}
		return nil, core.Errorf(core.Unavailable, op, "%w", err)
	}
	return j, nil
}

// load replays the log, compares it with its head and leaves both ready to be
// written on.
func (j *journal) load(headPath string, put func(core.Record, bool), fence func(uint64)) error {
	const op = "escrow/memory: open log"
	b, err := io.ReadAll(j.f)
	if err != nil {
		return err
	}
	if j.size, err = replay(b, put, fence); err != nil {
		return err
	}
	var least int64
	if j.head, least, err = openHead(headPath); err != nil {
		return err
	}
	switch {
	case j.size < least:
		err = core.Errorf(core.Corrupt, op, "the log ends at byte %d and %d were acknowledged: it was cut or put back; remove it and %s, then restore from a snapshot", j.size, least, headPath)
	default:
		if err = j.f.Truncate(j.size); err == nil {
			_, err = j.f.Seek(j.size, io.SeekStart)
		}
	}
	if err != nil {
		_ = j.head.f.Close()
	}
	return err
}

const (
	headSize  = 12
	fenceBody = 1 + 8
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// replay applies the whole entries of b and returns their length.
func replay(b []byte, put func(core.Record, bool), fence func(uint64)) (int64, error) {
	for pos := 0; ; {
		body, err := cut(b[pos:])
		if err != nil {
			return 0, core.Errorf(core.Corrupt, "escrow/memory: open log", "the entry at byte %d does not check: restore from a snapshot: %w", pos, err)
		}
		if body == nil {
			return int64(pos), nil
		}
		if err := apply(body, put, fence); err != nil {
			return 0, err
		}
		pos += headSize + len(body)
	}
}

// cut takes the first entry's body off b; nil when none is whole.
func cut(b []byte) (body []byte, err error) {
	if len(b) < headSize || len(bytes.TrimLeft(b, "\x00")) == 0 {
		return nil, nil
	}
	head, rest := b[:headSize], b[headSize:]
	if crc32.Checksum(head[:8], castagnoli) != binary.BigEndian.Uint32(head[8:]) {
		return nil, errors.New("its head was changed")
	}
	n := uint64(binary.BigEndian.Uint32(head))
	if n == 0 {
		return nil, errors.New("it is empty")
	}
	if uint64(len(rest)) < n {
		return nil, nil
	}
	if crc32.Checksum(rest[:n], castagnoli) != binary.BigEndian.Uint32(head[4:]) {
		return nil, errors.New("its body was changed")
	}
	return rest[:n], nil
}

// apply hands on what one body says.
func apply(body []byte, put func(core.Record, bool), fence func(uint64)) error {
	const op = "escrow/memory: open log"
	n := int(body[0])
	if n == 0 {
		if len(body) != fenceBody {
			return core.Errorf(core.Corrupt, op, "a fence of %d bytes", len(body))
		}
		fence(binary.BigEndian.Uint64(body[1:]))
		return nil
	}
	if len(body) < 1+n {
		return core.Errorf(core.Corrupt, op, "a key of %d bytes in an entry of %d", n, len(body))
	}
	key := core.Key(body[1 : 1+n])
	m, blob, err := codec.DecodeRecord(key, body[1+n:])
	if err != nil {
		return err
	}
	put(core.Record{Key: bytes.Clone(key), Version: m.Version, Hot: m.Hot, Blob: blob, ReqID: m.ReqID}, m.Deleted)
	return nil
}

// write adds the entry whose body fill appends.
func (j *journal) write(fill func([]byte) []byte) {
	at := len(j.buf)
	j.buf = fill(append(j.buf, make([]byte, headSize)...))
	head, body := j.buf[at:at+headSize], j.buf[at+headSize:]
	binary.BigEndian.PutUint32(head, uint32(len(body)))
	binary.BigEndian.PutUint32(head[4:], crc32.Checksum(body, castagnoli))
	binary.BigEndian.PutUint32(head[8:], crc32.Checksum(head[:8], castagnoli))
}

func (j *journal) add(r core.Record, deleted bool) {
	if j == nil {
		return
	}
	m := codec.Meta{Version: r.Version, Deleted: deleted, ReqID: r.ReqID, Hot: r.Hot}
	if !deleted {
		m.BlobRev = r.Version
	}
	j.write(func(b []byte) []byte {
		return codec.EncodeRecord(append(append(b, byte(len(r.Key))), r.Key...), r.Key, m, r.Blob)
	})
}

func (j *journal) addFence(fence uint64) {
	if j != nil {
		j.write(func(b []byte) []byte { return binary.BigEndian.AppendUint64(append(b, 0), fence) })
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
	n, err := j.f.Write(j.buf)
	if err == nil {
		err = j.f.Sync()
	}
	j.buf = j.buf[:0]
	if err == nil {
		j.size += int64(n)
		j.head.write(j.size)
	}
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
	return errors.Join(j.failed, j.head.close(), j.f.Close())
}
