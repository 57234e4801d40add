package transfer

import (
	"encoding/binary"

	"github.com/keposs/keposs/core"
)

// A snapshot file, version 1, big endian; docs/snapshot.md is normative:
//
//	file   = head block* end
//	head   = "KEPOSS-SNAPSHOT\n" 16 ‖ version u8 = 1 ‖ created i64 (Unix s)
//	block  = 'B' ‖ length u32 (1..maxBlock) ‖ record* ‖ chain 32
//	record = key length u8 ‖ key ‖ version u64 ‖ flags u8 (1 = deleted) ‖ request id 16 ‖ hot length u16 ‖ hot ‖ blob length u32 ‖ blob
//	end    = 'E' ‖ live records u64 ‖ tombstones u64 ‖ chain 32
//	chain  = SM3(chain before ‖ everything of this part but its chain); before the first: SM3(head)
//
// Keys ascend strictly through the whole file; a tombstone has no content. The
// last chain is the snapshot's digest.
const (
	fileMagic   = "KEPOSS-SNAPSHOT\n"
	fileVersion = 1
	headSize    = len(fileMagic) + 1 + 8
	chainSize   = 32

	blockTag = 'B'
	endTag   = 'E'
	endSize  = 1 + 8 + 8

	fullBlock = 1 << 20 // a block with so many bytes is closed
	maxRecord = 1 + core.MaxKey + 8 + 1 + 16 + 2 + core.MaxHot + 4 + core.MaxBlob
	maxBlock  = fullBlock + maxRecord

	flagDeleted = 1
)

func appendRecord(dst []byte, r core.Record, gone bool) []byte {
	dst = append(append(dst, byte(len(r.Key))), r.Key...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.Version))
	flags := byte(0)
	if gone {
		flags = flagDeleted
	}
	dst = append(append(dst, flags), r.ReqID[:]...)
	dst = append(binary.BigEndian.AppendUint16(dst, uint16(len(r.Hot))), r.Hot...)
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(r.Blob))), r.Blob...)
}

// cutRecord reads one record from the front of b; its slices point into b.
func cutRecord(b []byte) (r core.Record, gone bool, rest []byte, err error) {
	take := func(n int) (out []byte) {
		if n > len(b) {
			err = malformed("a record is cut short")
			return nil
		}
		out, b = b[:n:n], b[n:]
		return out
	}
	num := func(n int) (v uint64) {
		for _, x := range take(n) {
			v = v<<8 | uint64(x)
		}
		return v
	}
	n := int(num(1))
	if n == 0 || n > core.MaxKey {
		return r, false, nil, malformed("a key's length is out of bounds")
	}
	r.Key = take(n)
	r.Version = core.Version(num(8))
	flags := num(1)
	copy(r.ReqID[:], take(16))
	if n = int(num(2)); n > core.MaxHot {
		return r, false, nil, malformed("a hot part is too long")
	}
	r.Hot = take(n)
	if n = int(num(4)); n > core.MaxBlob {
		return r, false, nil, malformed("a blob is too long")
	}
	r.Blob = take(n)
	switch gone = flags == flagDeleted; {
	case err != nil:
		return r, false, nil, err
	case flags > flagDeleted || r.Version == 0 || r.Version > 1<<63-1 || gone && len(r.Hot)+len(r.Blob) > 0:
		return r, false, nil, malformed("a record breaks its form")
	}
	return r, gone, b, nil
}

func malformed(what string) error {
	return core.Errorf(core.Corrupt, "transfer: snapshot", "%s: the file was changed or is cut short", what)
}
