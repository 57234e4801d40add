package sheet

import (
	"io"
	"unsafe"

	"github.com/mdp/qrterminal/v3"

	"github.com/keposs/keposs/core/secret"
)

// quiet is the light margin of a QR code, in modules (ISO/IEC 18004).
const quiet = 4

// draw writes the QR code of a payload (lent) as text, two lines of modules in
// one: light modules are drawn, so that it reads on a dark screen; on a light one
// it stands inverted, which readers take as well. Error correction M: a folded or
// stained paper still reads. The payload's alphabet gets the dense mode.
func draw(w io.Writer, payload *secret.Buffer) {
	b := payload.Bytes()
	qrterminal.GenerateWithConfig(unsafe.String(&b[0], len(b)), qrterminal.Config{ // a view of the buffer, no copy
		Level: qrterminal.M, Writer: w, QuietZone: quiet, HalfBlocks: true,
		BlackChar: qrterminal.BLACK_BLACK, WhiteChar: qrterminal.WHITE_WHITE,
		BlackWhiteChar: qrterminal.BLACK_WHITE, WhiteBlackChar: qrterminal.WHITE_BLACK,
	})
}
