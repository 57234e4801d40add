package face

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/keposs/keposs/core"
)

// An Array is a little-endian float array of one or two dimensions, as NumPy
// writes it. Data is row-major; a 1-D array has Rows = 1.
type Array struct {
	Rows, Cols int
	OneD       bool
	Data       []float64
}

// Row lends row i.
func (a *Array) Row(i int) []float64 { return a.Data[i*a.Cols : (i+1)*a.Cols] }

// Bounds of an npy header and of a whole array, checked before allocation.
const (
	maxNPYHeader = 4 << 10
	MaxNPYValues = 64 << 20
)

var (
	npyMagic = []byte("\x93NUMPY")
	// One entry of the header's dictionary, with the comma after it.
	npyEntry = regexp.MustCompile(`^\s*'(descr|fortran_order|shape)':\s*('[^']{1,8}'|True|False|\([0-9, ]{0,40}\))\s*(,|$)`)
)

// ReadNPY reads one array of '<f4' or '<f8' in C order from b, at most limit
// values. Everything else is Invalid, TooLarge or Unsupported before anything
// is allocated; trailing bytes are Invalid.
func ReadNPY(b []byte, limit int) (*Array, error) {
	const op = "face: npy"
	if len(b) < 10 || !bytes.Equal(b[:6], npyMagic) {
		return nil, core.Errorf(core.Invalid, op, "not a NumPy array file")
	}
	if b[7] != 0 {
		return nil, core.Errorf(core.Unsupported, op, "format version %d.%d, want 1.0 to 3.0", b[6], b[7])
	}
	at, n := 10, int(binary.LittleEndian.Uint16(b[8:]))
	switch b[6] {
	case 1:
	case 2, 3:
		if len(b) < 12 {
			return nil, core.Errorf(core.Invalid, op, "truncated header")
		}
		at, n = 12, int(binary.LittleEndian.Uint32(b[8:]))
	default:
		return nil, core.Errorf(core.Unsupported, op, "format version %d, want 1 to 3", b[6])
	}
	if n > maxNPYHeader {
		return nil, core.Errorf(core.TooLarge, op, "header of %d bytes, at most %d", n, maxNPYHeader)
	}
	if n < 0 || len(b) < at+n {
		return nil, core.Errorf(core.Invalid, op, "truncated header")
	}
	a, width, err := npyHeader(string(b[at:at+n]), limit)
	if err != nil {
		return nil, err
	}
	body := b[at+n:]
	if len(body) != a.Rows*a.Cols*width {
		return nil, core.Errorf(core.Invalid, op, "%d bytes of values, the shape wants %d", len(body), a.Rows*a.Cols*width)
	}
	a.Data = floats(body, width)
	return a, nil
}

// npyHeader reads the dictionary: exactly the three keys, in any order and with
// any spaces, and nothing else.
func npyHeader(h string, limit int) (*Array, int, error) {
	const op = "face: npy"
	h = strings.TrimSpace(h)
	body, opened := strings.CutPrefix(h, "{")
	body, closed := strings.CutSuffix(body, "}")
	values := map[string]string{}
	for rest := strings.TrimSpace(body); rest != ""; {
		m := npyEntry.FindStringSubmatch(rest)
		if m == nil || values[m[1]] != "" {
			return nil, 0, core.Errorf(core.Invalid, op, "the header is not a dictionary of descr, fortran_order and shape")
		}
		values[m[1]] = m[2]
		rest = strings.TrimSpace(rest[len(m[0]):])
	}
	descr, order, shape := values["descr"], values["fortran_order"], values["shape"]
	if !opened || !closed || !strings.HasPrefix(descr, "'") || order == "" || !strings.HasPrefix(shape, "(") {
		return nil, 0, core.Errorf(core.Invalid, op, "the header is not a dictionary of descr, fortran_order and shape")
	}
	width := 0
	switch strings.Trim(descr, "'") {
	case "<f4":
		width = 4
	case "<f8":
		width = 8
	default:
		return nil, 0, core.Errorf(core.Unsupported, op, "values of type %s, want <f4 or <f8", descr)
	}
	switch order {
	case "False":
	case "True":
		return nil, 0, core.Errorf(core.Unsupported, op, "Fortran order, want C order")
	default:
		return nil, 0, core.Errorf(core.Invalid, op, "fortran_order is neither True nor False")
	}
	var dims []int
	for part := range strings.SplitSeq(strings.Trim(shape, "()"), ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		v, err := strconv.ParseUint(part, 10, 62)
		if err != nil || v == 0 {
			return nil, 0, core.Errorf(core.Invalid, op, "dimension %q, want a number from 1", part)
		}
		if v > uint64(limit) {
			return nil, 0, core.Errorf(core.TooLarge, op, "dimension %d, at most %d", v, limit)
		}
		dims = append(dims, int(v))
	}
	a := &Array{Rows: 1}
	switch len(dims) {
	case 0: // NumPy's scalar, as norm_p10 may be
		a.Cols, a.OneD = 1, true
	case 1:
		a.Cols, a.OneD = dims[0], true
	case 2:
		a.Rows, a.Cols = dims[0], dims[1]
	default:
		return nil, 0, core.Errorf(core.Unsupported, op, "%d dimensions, want at most 2", len(dims))
	}
	if a.Rows > limit/a.Cols {
		return nil, 0, core.Errorf(core.TooLarge, op, "%d × %d values, at most %d", a.Rows, a.Cols, limit)
	}
	return a, width, nil
}

func floats(b []byte, width int) []float64 {
	out := make([]float64, len(b)/width)
	for i := range out {
		if width == 4 {
			out[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:])))
		} else {
			out[i] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
		}
	}
	return out
}

// WriteNPY writes a in '<f8', C order, format version 1.
func WriteNPY(w io.Writer, a *Array) error {
	shape := strconv.Itoa(a.Rows) + ", " + strconv.Itoa(a.Cols)
	if a.OneD {
		shape = strconv.Itoa(a.Cols) + ","
	}
	h := "{'descr': '<f8', 'fortran_order': False, 'shape': (" + shape + "), }"
	h += strings.Repeat(" ", (64-(10+len(h)+1)%64)%64) + "\n"
	b := append([]byte(nil), npyMagic...)
	b = append(b, 1, 0)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(h)))
	b = append(b, h...)
	for _, v := range a.Data {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	_, err := w.Write(b)
	return err
}
