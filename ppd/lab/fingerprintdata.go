package lab

import (
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/ppd/fingerprint"
	"github.com/keposs/keposs/ppd/ppdtest"
)

// FingerSet is a data set of impressions.
type FingerSet struct {
	Name    string
	Fingers []Finger // sorted by id
}

// A Finger has impressions by number, from 1; missing ones are absent.
type Finger struct {
	ID          string
	Person      string // whom to resample together
	Impressions map[int]fingerprint.View
}

// most impressions a set may hold: 8 of a thousand fingers, and some.
const maxImpressions = 20_000

// LoadFingers reads `<finger>_<impression>.fmr` from a folder, one view each. A
// finger named `<person>_<finger>` belongs to that person, others to themselves.
func LoadFingers(dir string) (*FingerSet, error) {
	const op = "lab: fingers"
	files, err := filepath.Glob(filepath.Join(dir, "*.fmr"))
	if err != nil || len(files) == 0 {
		return nil, core.Errorf(core.NotFound, op, "no <finger>_<impression>.fmr in %s", dir)
	}
	if len(files) > maxImpressions {
		return nil, core.Errorf(core.TooLarge, op, "%d impressions, at most %d", len(files), maxImpressions)
	}
	byID := map[string]*Finger{}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".fmr")
		at := strings.LastIndexByte(name, '_')
		n, err := strconv.Atoi(name[at+1:])
		if at < 1 || err != nil || n < 1 || n > 99 {
			return nil, core.Errorf(core.Invalid, op, "%s is not named <finger>_<impression>.fmr", filepath.Base(path))
		}
		v, err := readView(path)
		if err != nil {
			return nil, err
		}
		id := name[:at]
		f := byID[id]
		if f == nil {
			person, _, _ := strings.Cut(id, "_")
			f = &Finger{ID: id, Person: person, Impressions: map[int]fingerprint.View{}}
			byID[id] = f
		}
		f.Impressions[n] = v
	}
	set := &FingerSet{Name: filepath.Base(filepath.Clean(dir))}
	for _, f := range byID {
		set.Fingers = append(set.Fingers, *f)
	}
	sort.Slice(set.Fingers, func(i, j int) bool { return set.Fingers[i].ID < set.Fingers[j].ID })
	return set, nil
}

func readView(path string) (fingerprint.View, error) {
	const op = "lab: fingers"
	st, err := os.Stat(path)
	if err != nil {
		return fingerprint.View{}, core.Errorf(core.NotFound, op, "%w", err)
	}
	if st.Size() > fingerprint.MaxRecord {
		return fingerprint.View{}, core.Errorf(core.TooLarge, op, "%s has %d bytes, at most %d", filepath.Base(path), st.Size(), fingerprint.MaxRecord)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return fingerprint.View{}, core.Errorf(core.Invalid, op, "%w", err)
	}
	vs, err := fingerprint.ParseFMR(b)
	if err != nil {
		return fingerprint.View{}, core.Errorf(core.CodeOf(err), op, "%s: %w", filepath.Base(path), err)
	}
	return vs[0], nil
}

// SyntheticFingers makes a set from package ppdtest's generator, at most
// maxImpressions. It says nothing about real fingers.
func SyntheticFingers(fingers, impressions int, seed uint64) (*FingerSet, error) {
	if fingers < 1 || impressions < 1 || fingers*impressions > maxImpressions {
		return nil, core.Errorf(core.Usage, "lab: fingers", "%d fingers of %d impressions", fingers, impressions)
	}
	gen := ppdtest.NewFingers(seed)
	set := &FingerSet{Name: "synthetic"}
	for i := range fingers {
		id := strconv.Itoa(i + 1)
		f := Finger{ID: id, Person: id, Impressions: map[int]fingerprint.View{}}
		for n := 1; n <= impressions; n++ {
			vs, err := fingerprint.ParseFMR(gen.Impression(i, n))
			if err != nil {
				return nil, err
			}
			f.Impressions[n] = vs[0]
		}
		set.Fingers = append(set.Fingers, f)
	}
	return set, nil
}
