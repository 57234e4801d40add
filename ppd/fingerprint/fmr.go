package fingerprint

import (
	"bytes"
	"encoding/binary"

	"github.com/keposs/keposs/core"
)

// Bounds on one record, checked before anything is allocated.
const (
	MaxRecord   = 64 << 10
	MaxViews    = 10
	MaxMinutiae = 255 // of one view; the count is one byte
	minDPCM     = 80  // pixels per centimetre, about 200 dpi
	maxDPCM     = 800
	maxPosition = 10 // finger position codes end here
	maxQuality  = 100
)

// Type of a minutia.
type Type uint8

// Minutia types of both formats.
const (
	Other       Type = 0
	Ending      Type = 1
	Bifurcation Type = 2
)

// A Raw minutia as a record holds it: pixels from the top left, direction in
// radians counter-clockwise from the right (ISO records count 1/256 of a turn,
// ANSI ones 2 degrees), quality 1 to 100 or 0 when not reported.
type Raw struct {
	X, Y    uint16
	Angle   float64 // radians
	Type    Type
	Quality uint8
}

// A View is one finger impression.
type View struct {
	Position      uint8 // finger position code
	Quality       uint8
	Width, Height uint16
	DPCMx, DPCMy  uint16 // pixels per centimetre
	Minutiae      []Raw
}

// magic begins records of ISO/IEC 19794-2:2005 and of ANSI INCITS 378-2004.
var magic = []byte("FMR\x00 20\x00")

// ParseFMR reads an ISO/IEC 19794-2:2005 record or an ANSI INCITS 378-2004 one
// and returns its views. The two share magic and version; they are told apart
// by where the stated length fits. Strict: a length that is not the record's, a
// resolution out of range, a minutia outside its image, a view that repeats
// another's position and number or goes beyond the end are Invalid; too large is
// TooLarge. Nothing is allocated beyond what the record's own bytes hold.
func ParseFMR(b []byte) ([]View, error) {
	const op = "fingerprint: record"
	if len(b) > MaxRecord {
		return nil, core.Errorf(core.TooLarge, op, "%d bytes, at most %d", len(b), MaxRecord)
	}
	if len(b) < 24 || !bytes.Equal(b[:8], magic) {
		return nil, core.Errorf(core.Invalid, op, "not a finger minutiae record of version 20")
	}
	if binary.BigEndian.Uint32(b[8:]) == uint32(len(b)) {
		return parseISO(b)
	}
	return parseANSI(b)
}

// parseISO reads the 24-byte header of ISO/IEC 19794-2:2005: length u32,
// capture equipment u16, size 2 × u16, resolution 2 × u16, views u8, reserved.
func parseISO(b []byte) ([]View, error) {
	h := header{
		width: binary.BigEndian.Uint16(b[14:]), height: binary.BigEndian.Uint16(b[16:]),
		dx: binary.BigEndian.Uint16(b[18:]), dy: binary.BigEndian.Uint16(b[20:]), views: int(b[22]),
	}
	return h.read(b[24:], false)
}

// parseANSI reads the header of ANSI INCITS 378-2004: length u16 (or 0 and a
// u32), CBEFF owner and type, equipment, size, resolution, views, reserved.
func parseANSI(b []byte) ([]View, error) {
	const op = "fingerprint: record"
	at, n := 10, uint32(binary.BigEndian.Uint16(b[8:]))
	if n == 0 {
		at, n = 14, binary.BigEndian.Uint32(b[10:])
	}
	if n != uint32(len(b)) {
		return nil, core.Errorf(core.Invalid, op, "the stated length is not the record's %d bytes", len(b))
	}
	if len(b) < at+16 {
		return nil, core.Errorf(core.Invalid, op, "truncated header")
	}
	c := b[at+4+2:] // after the CBEFF product id and the equipment
	h := header{
		width: binary.BigEndian.Uint16(c), height: binary.BigEndian.Uint16(c[2:]),
		dx: binary.BigEndian.Uint16(c[4:]), dy: binary.BigEndian.Uint16(c[6:]), views: int(c[8]),
	}
	return h.read(c[10:], true)
}

type header struct {
	width, height, dx, dy uint16
	views                 int
}

// read is parse that leaves nothing of a refused record behind.
func (h header) read(b []byte, ansi bool) ([]View, error) {
	out, err := h.parse(b, ansi)
	if err != nil {
		wipeViews(out)
		return nil, err
	}
	return out, nil
}

// parse reads the views: 4 bytes each, then 6 bytes a minutia, then a block of
// extended data that is skipped. With an error out is what was read before it,
// the caller's to wipe.
func (h header) parse(b []byte, ansi bool) (out []View, err error) {
	const op = "fingerprint: record"
	switch {
	case h.views < 1 || h.views > MaxViews:
		return nil, core.Errorf(core.Invalid, op, "%d finger views, want 1 to %d", h.views, MaxViews)
	case h.dx < minDPCM || h.dx > maxDPCM || h.dy < minDPCM || h.dy > maxDPCM:
		return nil, core.Errorf(core.Invalid, op, "resolution %d × %d pixels per cm, want %d to %d", h.dx, h.dy, minDPCM, maxDPCM)
	case h.width == 0 || h.height == 0:
		return nil, core.Errorf(core.Invalid, op, "an image without area")
	}
	seen := map[[2]uint8]bool{}
	for i := range h.views {
		if len(b) < 4 {
			return out, core.Errorf(core.Invalid, op, "view %d begins beyond the end", i+1)
		}
		v := View{Position: b[0], Quality: b[2], Width: h.width, Height: h.height, DPCMx: h.dx, DPCMy: h.dy}
		id := [2]uint8{b[0], b[1] >> 4}
		switch {
		case b[0] > maxPosition:
			return out, core.Errorf(core.Invalid, op, "view %d: finger position %d, at most %d", i+1, b[0], maxPosition)
		case seen[id]:
			return out, core.Errorf(core.Invalid, op, "view %d repeats finger %d, view %d", i+1, id[0], id[1])
		}
		seen[id] = true
		n := int(b[3])
		b = b[4:]
		if len(b) < 6*n+2 {
			return out, core.Errorf(core.Invalid, op, "view %d: %d minutiae do not fit in %d bytes", i+1, n, len(b))
		}
		if n > 0 {
			v.Minutiae = make([]Raw, n) // never grown, so no copy is left behind
		}
		out = append(out, v)
		for j := range n {
			if v.Minutiae[j], err = minutia(b[6*j:6*j+6], h, ansi); err != nil {
				return out, err
			}
		}
		b = b[6*n:]
		ext := int(binary.BigEndian.Uint16(b))
		if len(b) < 2+ext {
			return out, core.Errorf(core.Invalid, op, "view %d: %d bytes of extended data go beyond the end", i+1, ext)
		}
		b = b[2+ext:]
	}
	if len(b) != 0 {
		return out, core.Errorf(core.Invalid, op, "%d bytes after the last view", len(b))
	}
	return out, nil
}

func minutia(b []byte, h header, ansi bool) (Raw, error) {
	x, y := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	m := Raw{X: x & 0x3fff, Y: y & 0x3fff, Type: Type(x >> 14), Quality: b[5]}
	switch {
	case m.Type > Bifurcation:
		return m, core.Errorf(core.Invalid, "fingerprint: record", "minutia of type %d", m.Type)
	case m.X >= h.width || m.Y >= h.height:
		return m, core.Errorf(core.Invalid, "fingerprint: record", "a minutia lies outside the image")
	case y>>14 != 0:
		return m, core.Errorf(core.Invalid, "fingerprint: record", "reserved bits of a minutia are set")
	case m.Quality > maxQuality:
		return m, core.Errorf(core.Invalid, "fingerprint: record", "a minutia of quality %d, at most %d", m.Quality, maxQuality)
	case ansi && b[4] >= 180:
		return m, core.Errorf(core.Invalid, "fingerprint: record", "a direction of %d × 2 degrees", b[4])
	}
	m.Angle = turn * float64(b[4]) / 256
	if ansi {
		m.Angle = turn * float64(b[4]) / 180
	}
	return m, nil
}

// WriteFMR writes views as one ISO/IEC 19794-2:2005 record. The views must
// share size and resolution, as the format has one header.
func WriteFMR(views []View) ([]byte, error) {
	const op = "fingerprint: write"
	if len(views) < 1 || len(views) > MaxViews {
		return nil, core.Errorf(core.Invalid, op, "%d views, want 1 to %d", len(views), MaxViews)
	}
	b := append([]byte(nil), magic...)
	b = append(b, 0, 0, 0, 0, 0, 0)
	for _, v := range []uint16{views[0].Width, views[0].Height, views[0].DPCMx, views[0].DPCMy} {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	b = append(b, byte(len(views)), 0)
	for i, v := range views {
		if len(v.Minutiae) > MaxMinutiae || v.Width != views[0].Width || v.Height != views[0].Height || v.DPCMx != views[0].DPCMx || v.DPCMy != views[0].DPCMy {
			return nil, core.Errorf(core.Invalid, op, "view %d has too many minutiae or another header", i+1)
		}
		b = append(b, v.Position, byte(i)<<4, v.Quality, byte(len(v.Minutiae)))
		for _, m := range v.Minutiae {
			b = binary.BigEndian.AppendUint16(b, m.X&0x3fff|uint16(m.Type)<<14)
			b = binary.BigEndian.AppendUint16(b, m.Y&0x3fff)
			b = append(b, byte(int(wrap(m.Angle)/turn*256+0.5)), m.Quality)
		}
		b = append(b, 0, 0)
	}
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)))
	if _, err := ParseFMR(b); err != nil {
		return nil, core.Errorf(core.Invalid, op, "%w", err)
	}
	return b, nil
}
