package sheet

import (
	"bytes"
	"crypto/rand"
	"errors"
	"image"
	"image/color"
	"strings"
	"testing"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"

	"github.com/keposs/keposs/client"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mf"
	"github.com/keposs/keposs/core/sm"
)

// drawn is a sheet of random values.
func drawn(t testing.TB, endpoint string) *client.Sheet {
	t.Helper()
	code, err := mf.NewRecoveryCode(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k, err := sm.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := &client.Sheet{Code: code, Server: k.Public().Compressed(), Endpoint: endpoint}
	for _, b := range [][]byte{s.User[:], s.Realm[:], s.KeyID[:], s.Bind[:]} {
		_, _ = rand.Read(b)
	}
	return s
}

func written(t testing.TB, s *client.Sheet) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, s); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func same(a, b *client.Sheet) bool {
	return a.User == b.User && a.Realm == b.Realm && a.Server == b.Server && a.KeyID == b.KeyID && a.Bind == b.Bind &&
		a.Endpoint == b.Endpoint && bytes.Equal(a.Code.Secret().Bytes(), b.Code.Secret().Bytes())
}

// What was written reads back: whole, by its payload alone, by words and
// details in capitals, copied by hand with line numbers.
func TestWriteRead(t *testing.T) {
	s := drawn(t, "escrow.example:7443")
	text := written(t, s)
	words := string(s.Code.Words().Bytes())
	for name, in := range map[string]string{
		"whole":             text,
		"payload":           string(s.Payload().Bytes()),
		"words and details": strings.ToUpper(words) + "\n\n" + s.Details() + "\n",
		"details first":     s.Details() + "\r\n" + strings.ReplaceAll(words, " ", "\r\n") + "\r\n",
		"without payload":   text[:strings.Index(text, payloadLine)],
	} {
		got, err := Read([]byte(in))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !same(got, s) {
			t.Errorf("%s: another sheet came back", name)
		}
	}
}

// A slip is noticed and said, never the words themselves.
func TestReadRefuses(t *testing.T) {
	s := drawn(t, "h:1")
	words := strings.Fields(string(s.Code.Words().Bytes()))
	swapped := append([]string{words[1], words[0]}, words[2:]...)
	for name, in := range map[string]string{
		"empty":      "",
		"prose":      "this is a text that has no sheet in it",
		"no words":   s.Details(),
		"no details": strings.Join(words, " "),
		"short":      strings.Join(words[:11], " ") + "\n" + s.Details(),
		"cut":        string(s.Payload().Bytes()[:100]),
		"bad word":   "xxxx " + strings.Join(words[1:], " ") + "\n" + s.Details(),
	} {
		got, err := Read([]byte(in))
		if !errors.Is(err, core.Invalid) || got != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, w := range words {
			if err != nil && strings.Contains(err.Error(), w) {
				t.Errorf("%s: the message shows a word", name)
			}
		}
	}
	if words[0] != words[1] {
		if _, err := Read([]byte(strings.Join(swapped, " ") + "\n" + s.Details())); err == nil {
			t.Log("this swap has the same 16-bit checksum: one in 65,536")
		}
	}
	if _, err := Read(make([]byte, MaxText+1)); !errors.Is(err, core.TooLarge) {
		t.Errorf("too large: %v", err)
	}
}

// screen turns the drawn half blocks back into a picture, as a camera sees a
// dark terminal: the code alone, without the half line below its white border.
func screen(t *testing.T, text string) image.Image {
	t.Helper()
	var lines []string
	for _, l := range strings.Split(text, "\n") {
		if strings.ContainsAny(l, "█▀▄") {
			lines = append(lines, l)
		}
	}
	const scale = 4
	side := len([]rune(lines[0]))
	if rest := 2*len(lines) - side; rest < 0 || rest > 1 {
		t.Fatalf("%d modules a line, %d lines of two", side, len(lines))
	}
	img := image.NewGray(image.Rect(0, 0, side*scale, side*scale))
	for y, l := range lines {
		for x, r := range []rune(l) {
			for half, light := range []bool{r == '█' || r == '▀', r == '█' || r == '▄'} {
				v := color.Gray{}
				if light {
					v.Y = 255
				}
				for i := range scale * scale {
					img.SetGray(x*scale+i%scale, (2*y+half)*scale+i/scale, v)
				}
			}
		}
	}
	return img
}

// A foreign reader gets the payload from what is drawn, for short and for the
// longest endpoints.
func TestDrawnCodeReads(t *testing.T) {
	for _, endpoint := range []string{"h:1", "escrow.example:7443", strings.Repeat("a-long-name.", 20) + "example:7443"} {
		s := drawn(t, endpoint)
		text := written(t, s)
		bits, err := gozxing.NewBinaryBitmapFromImage(screen(t, text))
		if err != nil {
			t.Fatal(err)
		}
		// Told that nothing but the code is in the picture: this reader's search for
		// its corners misses three codes in a hundred.
		got, err := qrcode.NewQRCodeReader().Decode(bits, map[gozxing.DecodeHintType]any{gozxing.DecodeHintType_PURE_BARCODE: true})
		if err != nil {
			t.Fatalf("%d bytes of endpoint: %v", len(endpoint), err)
		}
		if got.GetText() != string(s.Payload().Bytes()) {
			t.Errorf("%d bytes of endpoint: another text was read", len(endpoint))
		}
		// The dense mode keeps an ordinary sheet within a screen of 80 by 40.
		if side := bits.GetWidth() / 4; len(endpoint) < 24 && side > 72 {
			t.Errorf("%d modules a side", side)
		}
	}
}

// Whatever is read, a sheet that comes back writes and reads to itself.
func FuzzRead(f *testing.F) {
	s := drawn(f, "h:1")
	f.Add([]byte(written(f, s)))
	f.Add(s.Payload().Bytes())
	f.Add([]byte(string(s.Code.Words().Bytes()) + "\n" + s.Details()))
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := Read(in)
		if err != nil {
			if got != nil {
				t.Fatal("a sheet beside an error")
			}
			return
		}
		again, err := Read([]byte(written(t, got)))
		if err != nil || !same(again, got) {
			t.Fatalf("written and read: %v", err)
		}
	})
}
