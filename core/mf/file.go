package mf

import (
	"crypto/subtle"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/policy"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

// FileKind says which of the terminal's authenticated files bytes are.
// The zero value is refused.
type FileKind uint8

// The terminal's files. Each kind has a key of its own under the device secret.
const (
	FileUnknown FileKind = 0
	FileTrust   FileKind = 1
	FileFails   FileKind = 2
	FileJournal FileKind = 3
	FileProfile FileKind = 4
)

var fileLabels = map[FileKind]string{FileTrust: labelTrust, FileFails: labelFails, FileJournal: labelJournal, FileProfile: labelProfile}

// Bounds of a terminal file.
const (
	fileMagic   = "KPS1"
	MaxFileBody = 64 << 10
)

// SealFile authenticates body as a file of that kind with the device secret in
// the named key-store slot:
//
//	"KPS1" ‖ kind u8 ‖ LP16(slot) ‖ body length u32 ‖ body ‖ tag(32)
//	tag = HMAC-SM3(X(device secret, kind's label, slot, 32), enc("file", label, slot, body))
//
// It hides nothing: nothing secret may be in body.
func SealFile(kind FileKind, slot string, deviceSecret *secret.Buffer, body []byte) ([]byte, error) {
	const op = "mf: seal file"
	label, ok := fileLabels[kind]
	switch {
	case !ok || !policy.ValidLabel(slot):
		return nil, core.Errorf(core.Usage, op, "unknown kind %d or bad slot name %q", kind, slot)
	case deviceSecret.Len() != DeviceSecret:
		return nil, core.Errorf(core.Usage, op, "the device secret must be %d bytes", DeviceSecret)
	case len(body) > MaxFileBody:
		return nil, core.Errorf(core.TooLarge, op, "body of %d bytes, at most %d", len(body), MaxFileBody)
	}
	w := &enc.Packer{}
	w.Raw([]byte(fileMagic))
	w.U8(uint8(kind))
	w.Short(enc.Str(slot))
	w.U32(uint32(len(body)))
	w.Raw(body)
	tag := fileTag(label, slot, deviceSecret, body)
	w.Raw(tag[:])
	return w.B, nil
}

func fileTag(label, slot string, deviceSecret *secret.Buffer, body []byte) [32]byte {
	key := derive(deviceSecret.Bytes(), label, enc.Str(slot), 32)
	defer key.Wipe()
	return sm.HMAC(key.Bytes(), enc.Join(enc.Str(headFile), enc.Str(label), enc.Str(slot), body))
}

// splitFile reads the frame. Unverified.
func splitFile(kind FileKind, b []byte) (slot string, body, tag []byte, err error) {
	const op = "mf: open file"
	bad := func() (string, []byte, []byte, error) {
		return "", nil, nil, core.Errorf(core.Integrity, op, "not a %s file of version 1; recovery is the way on", fileLabels[kind])
	}
	if len(b) > MaxFileBody+256 {
		return bad()
	}
	r := enc.NewUnpacker(b)
	magic, k := r.Take(len(fileMagic)), r.U8()
	if string(magic) != fileMagic || FileKind(k) != kind || fileLabels[kind] == "" {
		return bad()
	}
	slot = string(r.Short(policy.MaxLabel))
	n := r.U32()
	if r.Bad() || !policy.ValidLabel(slot) || n > MaxFileBody {
		return bad()
	}
	body = r.Take(int(n))
	tag = r.Take(32)
	if !r.Done() {
		return bad()
	}
	return slot, body, tag, nil
}

// FileSlot returns the key-store slot whose device secret authenticates the
// file. Nothing is verified yet. Errors have code Integrity.
func FileSlot(kind FileKind, b []byte) (slot string, err error) {
	slot, _, _, err = splitFile(kind, b)
	return slot, err
}

// OpenFile verifies a file SealFile made and returns its body, a part of b. A
// bad frame or tag has code Integrity: it leads to recovery, never to "no
// record".
func OpenFile(kind FileKind, b []byte, deviceSecret *secret.Buffer) (body []byte, err error) {
	slot, body, tag, err := splitFile(kind, b)
	if err != nil {
		return nil, err
	}
	want := fileTag(fileLabels[kind], slot, deviceSecret, body)
	if subtle.ConstantTimeCompare(want[:], tag) != 1 {
		return nil, core.Errorf(core.Integrity, "mf: open file",
			"the %s file was changed or belongs to another device secret; recovery is the way on", fileLabels[kind])
	}
	return body, nil
}
