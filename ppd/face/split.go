package face

import (
	"bytes"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
)

// maxSplit bounds the rows of a file that Split takes apart.
const maxSplit = 4096

// Split takes an .npy file of m rows apart into m samples of one row each, so
// that a file of a sitting answers one prompt a row. Anything that is no .npy
// file, and one of a single row, comes back whole. The caller owns the buffers.
func Split(b []byte) ([]*secret.Buffer, error) {
	if !bytes.HasPrefix(b, npyMagic) {
		return []*secret.Buffer{secret.Copy(b)}, nil
	}
	a, err := ReadNPY(b, maxSplit*MaxDim)
	if err != nil {
		return nil, err
	}
	defer clear(a.Data)
	switch {
	case a.Rows == 1:
		return []*secret.Buffer{secret.Copy(b)}, nil
	case a.Rows > maxSplit:
		return nil, core.Errorf(core.TooLarge, "face: sample", "%d rows, at most %d", a.Rows, maxSplit)
	}
	var out []*secret.Buffer
	for i := range a.Rows {
		var w bytes.Buffer
		w.Grow(128 + 8*a.Cols) // one allocation, owned below: no copy is left behind
		if err := WriteNPY(&w, &Array{Rows: 1, Cols: a.Cols, OneD: true, Data: a.Row(i)}); err != nil {
			return nil, err
		}
		out = append(out, secret.Own(w.Bytes()))
	}
	return out, nil
}
