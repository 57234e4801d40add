package badger

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"

	db "github.com/dgraph-io/badger/v4"

	"github.com/keposs/keposs/core"
)

// A head remembers, outside Badger's own files, which store this is and how
// new its newest durable transaction is. It is written after every commit
// without a sync of its own, so it is never newer than the store: a store
// older than its head had files cut, damaged or put back.
//
// Two slots of 512 bytes are written in turn: magic "KPSHEAD1", store id 16,
// timestamp 8, crc32c 4.
type head struct {
	f    *os.File
	id   [16]byte
	ts   uint64
	slot int64
	buf  [headLen]byte
}

const (
	headMagic = "KPSHEAD1"
	headLen   = 8 + 16 + 8 + 4
	headSlot  = 512
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func openHead(path string) (*head, error) {
	const op = "escrow/badger: open head"
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, core.Errorf(core.Unavailable, op, "%w", err)
	}
	h, seen := &head{f: f}, false
	for slot := int64(0); slot < 2; slot++ {
		var b [headLen]byte
		n, _ := f.ReadAt(b[:], slot*headSlot)
		seen = seen || n > 0
		if id, ts, ok := decodeHead(b[:n]); ok && ts >= h.ts {
			h.id, h.ts, h.slot = id, ts, slot
		}
	}
	if seen && h.ts == 0 {
		_ = f.Close()
		return nil, core.Errorf(core.Corrupt, op, "%s is damaged; compare the store with a snapshot, then remove it", path)
	}
	return h, nil
}

func decodeHead(b []byte) (id [16]byte, ts uint64, ok bool) {
	if len(b) != headLen || string(b[:8]) != headMagic ||
		binary.BigEndian.Uint32(b[32:]) != crc32.Checksum(b[:32], castagnoli) {
		return id, 0, false
	}
	copy(id[:], b[8:24])
	return id, binary.BigEndian.Uint64(b[24:]), true
}

// write notes a durable timestamp. A failure only makes the next open less
// strict, so it is not an error of the commit.
func (h *head) write(ts uint64) {
	h.ts = ts
	h.slot = 1 - h.slot
	copy(h.buf[:], headMagic)
	copy(h.buf[8:], h.id[:])
	binary.BigEndian.PutUint64(h.buf[24:], ts)
	binary.BigEndian.PutUint32(h.buf[32:], crc32.Checksum(h.buf[:32], castagnoli))
	_, _ = h.f.WriteAt(h.buf[:], h.slot*headSlot)
}

func (h *head) close(ts uint64) error {
	if ts > 0 {
		h.write(ts)
	}
	return errors.Join(h.f.Sync(), h.f.Close())
}

// checkHead compares the store with its head, names a new store, and loads the
// fence.
func (s *Store) checkHead() error {
	const op = "escrow/badger: open"
	var id, fence []byte
	txn := s.db.NewTransactionAt(s.last.Load(), true)
	defer txn.Discard()
	for key, dst := range map[string]*[]byte{string(idKey): &id, string(fenceKey): &fence} {
		it, err := txn.Get([]byte(key))
		if err == nil {
			*dst, err = it.ValueCopy(nil)
		}
		if err != nil && !errors.Is(err, db.ErrKeyNotFound) {
			return engineError("store", err)
		}
	}
	if s.head.ts > s.last.Load() {
		return core.Errorf(core.Corrupt, op, "the files of %s are older than %s says: they were cut, damaged or put back; restore with ss-cc restore", s.set.dir, s.set.head)
	}
	if len(fence) == 8 {
		s.fence = binary.BigEndian.Uint64(fence)
	}
	switch {
	case len(id) == 16 && s.head.ts > 0 && string(id) != string(s.head.id[:]):
		return core.Errorf(core.Corrupt, op, "%s belongs to another store than %s; remove it if the store was replaced on purpose", s.set.head, s.set.dir)
	case len(id) == 16:
		copy(s.head.id[:], id)
		return nil
	case s.last.Load() > 0:
		return core.Errorf(core.Corrupt, op, "%s is not a keposs store", s.set.dir)
	}
	if _, err := rand.Read(s.head.id[:]); err != nil {
		return core.Errorf(core.Unavailable, op, "%w", err)
	}
	if err := txn.Set(idKey, s.head.id[:]); err != nil {
		return core.Errorf(core.Unavailable, op, "%w", err)
	}
	if err := txn.CommitAt(1, nil); err != nil {
		return core.Errorf(core.Unavailable, op, "%w", err)
	}
	s.last.Store(1)
	s.head.write(1)
	return nil
}
