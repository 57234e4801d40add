package lab

import (
	"encoding/csv"
	"errors"
	"io"
	"os"
	"sort"
	"strconv"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/ppd/face"
	"github.com/keposs/keposs/ppd/ppdtest"
)

// FaceSet is embeddings by identity. Captures are in the labels' order of
// capture number; Impostor marks identities used for false matches only.
type FaceSet struct {
	Name   string
	Dim    int
	People []Person
}

// Person is one identity.
type Person struct {
	ID       string
	Impostor bool
	Captures [][]float64
}

// maxRows bounds a labels file.
const maxRows = 2_000_000

// LoadFaces reads embeddings (.npy, one capture a row) and their labels (CSV
// with a header naming row, id, capture and, optionally, role: "impostor"
// identities take no part in FNMR). Rows out of range or named twice are Invalid.
func LoadFaces(npy, labels string) (*FaceSet, error) {
	const op = "lab: faces"
	raw, err := readBounded(npy, 2<<30)
	if err != nil {
		return nil, err
	}
	a, err := face.ReadNPY(raw, 256<<20)
	if err != nil {
		return nil, err
	}
	if a.Cols < face.MinDim || a.Cols > face.MaxDim {
		return nil, core.Errorf(core.Invalid, op, "rows of %d values, want %d to %d", a.Cols, face.MinDim, face.MaxDim)
	}
	f, err := os.Open(labels)
	if err != nil {
		return nil, core.Errorf(core.NotFound, op, "%w", err)
	}
	defer func() { _ = f.Close() }()
	set, err := readLabels(f, a)
	if err != nil {
		return nil, err
	}
	set.Name, set.Dim = npy, a.Cols
	return set, nil
}

func readBounded(path string, limit int64) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, core.Errorf(core.NotFound, "lab", "%w", err)
	}
	if st.Size() > limit {
		return nil, core.Errorf(core.TooLarge, "lab", "%s has %d bytes, at most %d", path, st.Size(), limit)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, core.Errorf(core.Invalid, "lab", "%w", err)
	}
	return b, nil
}

type labelled struct {
	row, capture int
}

func readLabels(r io.Reader, a *face.Array) (*FaceSet, error) {
	const op = "lab: labels"
	c := csv.NewReader(r)
	head, err := c.Read()
	if err != nil {
		return nil, core.Errorf(core.Invalid, op, "no header line")
	}
	col := map[string]int{}
	for i, h := range head {
		col[h] = i
	}
	for _, want := range []string{"row", "id", "capture"} {
		if _, ok := col[want]; !ok {
			return nil, core.Errorf(core.Invalid, op, "no column %q; want row, id, capture and optionally role", want)
		}
	}
	roleAt, hasRole := col["role"]
	rows := map[string][]labelled{}
	impostor, used := map[string]bool{}, map[int]bool{}
	var order []string
	for line := 2; ; line++ {
		rec, err := c.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || line > maxRows {
			return nil, core.Errorf(core.Invalid, op, "line %d is not of the header's shape, or too many lines", line)
		}
		row, err1 := strconv.Atoi(rec[col["row"]])
		n, err2 := strconv.Atoi(rec[col["capture"]])
		if err1 != nil || err2 != nil || row < 0 || row >= a.Rows || used[row] {
			return nil, core.Errorf(core.Invalid, op, "line %d: row and capture must be numbers, row within the %d embeddings and named once", line, a.Rows)
		}
		used[row] = true
		id := rec[col["id"]]
		if rows[id] == nil {
			order = append(order, id)
		}
		rows[id] = append(rows[id], labelled{row, n})
		impostor[id] = hasRole && rec[roleAt] == "impostor"
	}
	set := &FaceSet{}
	for _, id := range order {
		ls := rows[id]
		sort.SliceStable(ls, func(i, j int) bool { return ls[i].capture < ls[j].capture })
		p := Person{ID: id, Impostor: impostor[id]}
		for _, l := range ls {
			p.Captures = append(p.Captures, a.Row(l.row))
		}
		set.People = append(set.People, p)
	}
	if len(set.People) < 2 {
		return nil, core.Errorf(core.Invalid, op, "%d identities, want at least 2", len(set.People))
	}
	return set, nil
}

// SyntheticFaces is a set made by the generator of ppdtest, for a first look
// without data.
func SyntheticFaces(people, captures, impostors int, seed uint64) *FaceSet {
	gen := ppdtest.NewFaces(128, seed)
	set := &FaceSet{Name: "synthetic (says nothing about real faces)", Dim: 128}
	for i := range people + impostors {
		p := Person{ID: "s" + strconv.Itoa(i), Impostor: i >= people}
		n := captures
		if p.Impostor {
			n = 1
		}
		for c := range n {
			p.Captures = append(p.Captures, gen.Capture(i, c))
		}
		set.People = append(set.People, p)
	}
	return set
}
