package fingerprint

import "testing"

// What a record gave before it was refused is handed out to be wiped.
func TestRefusedRecordIsHandedOut(t *testing.T) {
	good := []byte{2, 0, 80, 2, 0x40, 10, 0, 20, 64, 90, 0x80, 30, 0, 40, 0, 0, 0, 0}
	h := header{width: 300, height: 400, dx: 197, dy: 197, views: 1}
	if _, err := h.parse(good, false); err != nil {
		t.Fatal(err)
	}
	for what, bad := range map[string][]byte{
		"a minutia outside":    append(append([]byte(nil), good[:10]...), 0x3f, 0xff, 0, 40, 0, 0, 0, 0),
		"bytes after the view": append(append([]byte(nil), good...), 1),
		"extended data":        append(append([]byte(nil), good[:17]...), 9),
	} {
		out, err := h.parse(bad, false)
		if err == nil || len(out) != 1 || out[0].Minutiae[0].X != 10 {
			t.Errorf("%s: %v, %v", what, out, err)
		}
		if got, err := h.read(bad, false); got != nil || err == nil {
			t.Errorf("%s: %v, %v", what, got, err)
		}
	}
}
