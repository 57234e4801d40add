package memory

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"

	"github.com/keposs/keposs/core"
)

// A head remembers in a file of its own how long the log was at its last sync.
// It is written after each without a sync of its own, so it is never ahead of
// the log: a log shorter than its head was cut or put back. On another disk it
// also notices the whole folder put back.
//
//	u64 length of the log, u32 CRC-32C of these 8 bytes; big endian
type head struct{ f *os.File }

const headFile = 8 + 4

// openHead returns what the head says, 0 = nothing yet.
func openHead(path string) (head, int64, error) {
	const op = "escrow/memory: open head"
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return head{}, 0, core.Errorf(core.Unavailable, op, "%w", err)
	}
	var b [headFile]byte
	n, _ := f.ReadAt(b[:], 0)
	switch {
	case n == 0, b == [headFile]byte{}: // new, or its first bytes never reached the disk
		return head{f}, 0, nil
	case n < headFile, crc32.Checksum(b[:8], castagnoli) != binary.BigEndian.Uint32(b[8:]):
		_ = f.Close()
		return head{}, 0, core.Errorf(core.Corrupt, op, "%s is damaged; compare the log with a snapshot, then remove it", path)
	}
	return head{f}, int64(binary.BigEndian.Uint64(b[:])), nil
}

// write notes that the log is durable up to size. A failure only makes the next
// open less strict, so it is not an error of the commit.
func (h head) write(size int64) {
	var b [headFile]byte
	binary.BigEndian.PutUint64(b[:], uint64(size))
	binary.BigEndian.PutUint32(b[8:], crc32.Checksum(b[:8], castagnoli))
	_, _ = h.f.WriteAt(b[:], 0)
}

func (h head) close() error { return errors.Join(h.f.Sync(), h.f.Close()) }
