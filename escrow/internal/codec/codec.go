// Package codec is how the embedded engines write one record: a hot part and
// a blob part, each carrying a checksum bound to its key, and the blob's
// revision in both so that halves of different states are noticed.
//
// Hot part, big endian:
//
//	magic 'H' | form 1 | flags | version 8 | blob revision 8 | reqid 16 | hot length 2 | hot | crc32c 4
//
// Blob part:
//
//	magic 'B' | form 1 | blob revision 8 | blob | crc32c 4
//
// The checksum covers the key's length, the key and everything before it. It
// tells damage from content; secrecy and authenticity are the sealed bytes'
// own, above this layer.
package codec

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/keposs/keposs/core"
)

const (
	hotMagic  = 'H'
	blobMagic = 'B'
	form      = 1
	flagDead  = 1

	hotHead  = 3 + 8 + 8 + 16 + 2
	blobHead = 2 + 8
	sum      = 4

	// MaxHotPart bounds an encoded Hot in bytes.
	MaxHotPart = hotHead + core.MaxHot + sum
	// MaxBlobPart bounds an encoded Blob in bytes.
	MaxBlobPart = blobHead + core.MaxBlob + sum
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Meta is the hot part of a record.
type Meta struct {
	Version core.Version
	Deleted bool
	BlobRev core.Version // the version that wrote the blob; 0 = there is none
	ReqID   core.ReqID
	Hot     []byte
}

func check(key core.Key, b []byte) uint32 {
	c := crc32.Update(0, castagnoli, []byte{byte(len(key))})
	c = crc32.Update(c, castagnoli, key)
	return crc32.Update(c, castagnoli, b)
}

func corrupt(part, what string) error {
	return core.Errorf(core.Corrupt, "escrow: read record", "%s part: %s", part, what)
}

// EncodeHot appends m's encoding for key to dst.
func EncodeHot(dst []byte, key core.Key, m Meta) []byte {
	start := len(dst)
	var flags byte
	if m.Deleted {
		flags = flagDead
	}
	dst = append(dst, hotMagic, form, flags)
	dst = binary.BigEndian.AppendUint64(dst, uint64(m.Version))
	dst = binary.BigEndian.AppendUint64(dst, uint64(m.BlobRev))
	dst = append(dst, m.ReqID[:]...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(m.Hot)))
	dst = append(dst, m.Hot...)
	return binary.BigEndian.AppendUint32(dst, check(key, dst[start:]))
}

// DecodeHot reads what EncodeHot wrote for key. Meta.Hot is a copy. Anything
// else is Corrupt.
func DecodeHot(key core.Key, b []byte) (Meta, error) {
	if len(b) < hotHead+sum || len(b) > MaxHotPart {
		return Meta{}, corrupt("hot", "wrong length")
	}
	body := b[:len(b)-sum]
	if binary.BigEndian.Uint32(b[len(body):]) != check(key, body) {
		return Meta{}, corrupt("hot", "checksum does not match; restore from a snapshot")
	}
	if b[0] != hotMagic || b[1] != form || b[2]&^flagDead != 0 {
		return Meta{}, corrupt("hot", "unknown form")
	}
	m := Meta{
		Deleted: b[2] == flagDead,
		Version: core.Version(binary.BigEndian.Uint64(b[3:])),
		BlobRev: core.Version(binary.BigEndian.Uint64(b[11:])),
	}
	copy(m.ReqID[:], b[19:35])
	if int(binary.BigEndian.Uint16(b[35:])) != len(body)-hotHead {
		return Meta{}, corrupt("hot", "wrong inner length")
	}
	if len(body) > hotHead {
		m.Hot = append([]byte(nil), body[hotHead:]...)
	}
	return m, nil
}

// EncodeBlob appends blob's encoding for key, written by version rev, to dst.
func EncodeBlob(dst []byte, key core.Key, rev core.Version, blob []byte) []byte {
	start := len(dst)
	dst = append(dst, blobMagic, form)
	dst = binary.BigEndian.AppendUint64(dst, uint64(rev))
	dst = append(dst, blob...)
	return binary.BigEndian.AppendUint32(dst, check(key, dst[start:]))
}

// ReadBlob reads what EncodeBlob wrote for key, and the version that wrote it.
// The blob is a copy.
func ReadBlob(key core.Key, b []byte) (rev core.Version, blob []byte, err error) {
	if len(b) < blobHead+sum || len(b) > MaxBlobPart {
		return 0, nil, corrupt("blob", "wrong length")
	}
	body := b[:len(b)-sum]
	if binary.BigEndian.Uint32(b[len(body):]) != check(key, body) {
		return 0, nil, corrupt("blob", "checksum does not match; restore from a snapshot")
	}
	if b[0] != blobMagic || b[1] != form {
		return 0, nil, corrupt("blob", "unknown form")
	}
	if len(body) > blobHead {
		blob = append([]byte(nil), body[blobHead:]...)
	}
	return core.Version(binary.BigEndian.Uint64(b[2:])), blob, nil
}

// DecodeBlob is ReadBlob of a blob that has to belong to the hot part that
// names rev.
func DecodeBlob(key core.Key, rev core.Version, b []byte) ([]byte, error) {
	got, blob, err := ReadBlob(key, b)
	if err != nil {
		return nil, err
	}
	return blob, Belongs(got, rev)
}

// Belongs refuses a blob of version got below a hot part that names rev.
func Belongs(got, rev core.Version) error {
	if got != rev {
		return corrupt("blob", "it belongs to another version than the hot part")
	}
	return nil
}

// EncodeRecord joins both parts in one value: u16 length of the hot part, hot
// part, blob part (absent when there is no blob revision).
func EncodeRecord(dst []byte, key core.Key, m Meta, blob []byte) []byte {
	start := len(dst)
	dst = append(dst, 0, 0)
	dst = EncodeHot(dst, key, m)
	binary.BigEndian.PutUint16(dst[start:], uint16(len(dst)-start-2))
	if m.BlobRev != 0 {
		dst = EncodeBlob(dst, key, m.BlobRev, blob)
	}
	return dst
}

// DecodeRecord reads what EncodeRecord wrote for key.
func DecodeRecord(key core.Key, b []byte) (Meta, []byte, error) {
	if len(b) < 2 {
		return Meta{}, nil, corrupt("hot", "wrong length")
	}
	n := int(binary.BigEndian.Uint16(b)) + 2
	if n > len(b) {
		return Meta{}, nil, corrupt("hot", "wrong length")
	}
	m, err := DecodeHot(key, b[2:n])
	if err != nil {
		return Meta{}, nil, err
	}
	if m.BlobRev == 0 {
		if n != len(b) {
			return Meta{}, nil, corrupt("blob", "present without a revision")
		}
		return m, nil, nil
	}
	blob, err := DecodeBlob(key, m.BlobRev, b[n:])
	return m, blob, err
}
