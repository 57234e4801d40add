package face

import (
	"archive/zip"
	"bytes"
	"io"
	"os"
	"strings"

	"github.com/keposs/keposs/core"
)

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
	p, seen := &Profile{}, map[string]bool{}
	for _, f := range z.File {
		if seen[f.Name] {
			return nil, core.Errorf(core.Invalid, op, "two entries named %.64q", f.Name)
		}
		seen[f.Name] = true
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
		return core.Errorf(core.Invalid, "face: profile", "%s cannot be unpacked to at most %d bytes", f.Name, most)
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

// LoadProfile is ReadProfile on a regular file.
func LoadProfile(path string) (*Profile, error) {
	const op = "face: profile"
	st, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, core.Errorf(core.NotFound, op, "%w", err)
	case !st.Mode().IsRegular():
		return nil, core.Errorf(core.Usage, op, "%s is no regular file", path)
	case st.Size() > MaxNPZ:
		return nil, core.Errorf(core.TooLarge, op, "%s has %d bytes, at most %d", path, st.Size(), MaxNPZ)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, core.Errorf(core.Usage, op, "%w", err)
	}
	return ReadProfile(b)
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
