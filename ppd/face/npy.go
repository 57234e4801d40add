package face

import (
	"archive/zip"
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
	npyDescr = regexp.MustCompile(`'descr':\s*'([^']{1,8})'`)
	npyOrder = regexp.MustCompile(`'fortran_order':\s*(True|False)`)
	npyShape = regexp.MustCompile(`'shape':\s*\(([0-9, ]{0,40})\)`)
)

// ReadNPY reads one array of '<f4' or '<f8' in C order from b, at most limit
// values. Everything else is Invalid, TooLarge or Unsupported before anything
// is allocated; trailing bytes are Invalid.
func ReadNPY(b []byte, limit int) (*Array, error) {
	const op = "face: npy"
	if len(b) < 10 || !bytes.Equal(b[:6], npyMagic) {
		return nil, core.Errorf(core.Invalid, op, "not a NumPy array file")
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

// npyHeader reads the dictionary. Its keys are matched one by one: NumPy's own
// order is alphabetic, and other writers differ in spaces.
func npyHeader(h string, limit int) (*Array, int, error) {
	const op = "face: npy"
	descr, order, shape := npyDescr.FindStringSubmatch(h), npyOrder.FindStringSubmatch(h), npyShape.FindStringSubmatch(h)
	if descr == nil || order == nil || shape == nil {
		return nil, 0, core.Errorf(core.Invalid, op, "header lacks descr, fortran_order or shape")
	}
	width := 0
	switch descr[1] {
	case "<f4":
		width = 4
	case "<f8":
		width = 8
	default:
		return nil, 0, core.Errorf(core.Unsupported, op, "values of type %q, want <f4 or <f8", descr[1])
	}
	if order[1] == "True" {
		return nil, 0, core.Errorf(core.Unsupported, op, "Fortran order, want C order")
	}
	var dims []int
	for _, part := range strings.Split(shape[1], ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		v, err := strconv.Atoi(part)
		if err != nil || v < 1 || v > limit {
			return nil, 0, core.Errorf(core.TooLarge, op, "dimension %q, want 1 to %d", part, limit)
		}
		dims = append(dims, v)
	}
	a := &Array{Rows: 1}
	switch len(dims) {
	case 1:
		a.Cols, a.OneD = dims[0], true
	case 2:
		a.Rows, a.Cols = dims[0], dims[1]
	default:
		return nil, 0, core.Errorf(core.Unsupported, op, "%d dimensions, want 1 or 2", len(dims))
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

// Bounds of a profile file.
const (
	maxNPZEntries = 16
	MaxNPZ        = 64 << 20
)

// ReadProfile reads an .npz with mu and, optionally, W, norm_p10 (one value)
// and a text entry model.txt. Other entries are ignored; sizes are checked
// before anything is unpacked.
func ReadProfile(b []byte) (*Profile, error) {
	const op = "face: profile"
	if len(b) > MaxNPZ {
		return nil, core.Errorf(core.TooLarge, op, "%d bytes, at most %d", len(b), MaxNPZ)
	}
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, core.Errorf(core.Invalid, op, "not an npz file: %w", err)
	}
	if len(z.File) > maxNPZEntries {
		return nil, core.Errorf(core.TooLarge, op, "%d entries, at most %d", len(z.File), maxNPZEntries)
	}
	p := &Profile{}
	for _, f := range z.File {
		if err := p.readEntry(f); err != nil {
			return nil, err
		}
	}
	p.Dim = len(p.Mu)
	return p, p.Check()
}

func (p *Profile) readEntry(f *zip.File) error {
	limits := map[string]int{"mu.npy": MaxDim, "W.npy": MaxDim * MaxDim, "norm_p10.npy": 1, "model.txt": 64}
	limit, known := limits[f.Name]
	if !known {
		return nil
	}
	most := uint64(maxNPYHeader + 16 + 8*limit)
	if f.UncompressedSize64 > most {
		return core.Errorf(core.TooLarge, "face: profile", "%s has %d bytes, at most %d", f.Name, f.UncompressedSize64, most)
	}
	r, err := f.Open()
	if err != nil {
		return core.Errorf(core.Invalid, "face: profile", "%s: %w", f.Name, err)
	}
	defer func() { _ = r.Close() }()
	raw, err := io.ReadAll(io.LimitReader(r, int64(most)+1))
	if err != nil || uint64(len(raw)) > most {
		return core.Errorf(core.Invalid, "face: profile", "%s cannot be unpacked", f.Name)
	}
	if f.Name == "model.txt" {
		p.Model = strings.TrimSpace(string(raw))
		return nil
	}
	a, err := ReadNPY(raw, limit)
	if err != nil {
		return err
	}
	switch f.Name {
	case "mu.npy":
		p.Mu = a.Data
	case "W.npy":
		if a.Rows != a.Cols {
			return core.Errorf(core.Invalid, "face: profile", "W is %d × %d, want a square", a.Rows, a.Cols)
		}
		p.W = a.Data
	case "norm_p10.npy":
		p.NormP10 = a.Data[0]
	}
	return nil
}

// WriteProfile writes what ReadProfile reads.
func WriteProfile(w io.Writer, p *Profile) error {
	if err := p.Check(); err != nil {
		return err
	}
	z := zip.NewWriter(w)
	put := func(name string, a *Array) error {
		e, err := z.Create(name)
		if err != nil {
			return err
		}
		return WriteNPY(e, a)
	}
	if err := put("mu.npy", &Array{Rows: 1, Cols: p.Dim, OneD: true, Data: p.Mu}); err != nil {
		return err
	}
	if p.W != nil {
		if err := put("W.npy", &Array{Rows: p.Dim, Cols: p.Dim, Data: p.W}); err != nil {
			return err
		}
	}
	if err := put("norm_p10.npy", &Array{Rows: 1, Cols: 1, OneD: true, Data: []float64{p.NormP10}}); err != nil {
		return err
	}
	e, err := z.Create("model.txt")
	if err == nil {
		_, err = io.WriteString(e, p.Model)
	}
	if err != nil {
		return err
	}
	return z.Close()
}
