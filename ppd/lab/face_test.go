package lab_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keposs/keposs/internal/testenv"
	"github.com/keposs/keposs/ppd/face"
	"github.com/keposs/keposs/ppd/lab"
)

func TestFacesSyntheticIsDeterministic(t *testing.T) {
	run := func() *lab.FaceResult {
		r, err := lab.Faces(context.Background(), lab.SyntheticFaces(10, 9, 20, 3), lab.FaceOptions{Seeds: 2})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	a, b := run(), run()
	if a.FNMR != b.FNMR || a.FalseAccepts != b.FalseAccepts || a.ImpostorTrials != b.ImpostorTrials || a.Intervals != b.Intervals {
		t.Errorf("two runs differ: %+v %+v", a, b)
	}
	if a.ImpostorTrials == 0 || a.Intervals[0].Trials == 0 {
		t.Error("nothing was measured")
	}
	path := filepath.Join(t.TempDir(), "r.html")
	if err := lab.WriteFaceReport(path, a); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(path)
	if err != nil || strings.Count(string(page), "<svg") != 2 || strings.Contains(string(page), "src=") {
		t.Errorf("report: %v, %d pictures", err, strings.Count(string(page), "<svg"))
	}
}

// A person under two names opens the other's record with one, two and three
// captures, and is counted at each. Control: without such a pair nobody does.
func TestFaceSessions(t *testing.T) {
	run := func(set *lab.FaceSet) lab.FaceSessions {
		r, err := lab.Faces(context.Background(), set, lab.FaceOptions{Seeds: 1})
		if err != nil {
			t.Fatal(err)
		}
		fmr := r.FMRInterval
		if fmr.Errors != r.FalseAccepts || fmr.Trials != r.ImpostorTrials {
			t.Errorf("the interval counts %d of %d, the run %d of %d", fmr.Errors, fmr.Trials, r.FalseAccepts, r.ImpostorTrials)
		}
		// One pair is half the time not among people drawn anew, and sometimes twice.
		if fmr.Low != 0 || fmr.Errors > 0 && fmr.High < 1.5*fmr.Value || fmr.Errors == 0 && fmr.High != 0 {
			t.Errorf("%d false accepts: rate %.3g, interval %.3g to %.3g", fmr.Errors, fmr.Value, fmr.Low, fmr.High)
		}
		return r.Sessions
	}
	apart := run(lab.SyntheticFaces(6, 13, 0, 5))
	if apart.FalseAccepts != [3]int{} {
		t.Errorf("control: %v sessions of strangers opened", apart.FalseAccepts)
	}
	// A capture more in a session is one run less of each of five strangers, for
	// each of six records.
	if n := apart.Trials; n[2] < 30 || n[0]-n[1] != 30 || n[1]-n[2] != 30 {
		t.Errorf("%v sessions", n)
	}
	for n, p := range apart.PerTry {
		if p <= 0 || p > 3.1/float64(apart.Trials[n]) {
			t.Errorf("%d captures: bound %.3g after no false accept in %d", n+1, p, apart.Trials[n])
		}
	}
	twice := lab.SyntheticFaces(6, 26, 0, 5)
	for i := range twice.People {
		twice.People[i].Captures = twice.People[i].Captures[:13]
	}
	twice.People[1].Captures = lab.SyntheticFaces(6, 26, 0, 5).People[0].Captures[13:]
	double := run(twice)
	for n, hits := range double.FalseAccepts {
		if hits < 4 {
			t.Errorf("%d captures: %d sessions of the same person under another name opened", n+1, hits)
		}
	}
}

// The design's goals on the given set (issue faces): one seed, no impostors at
// level 0; the command measures ten.
func TestFacesGiven(t *testing.T) {
	npy := testenv.Data(t, "face", "lfw_given.npy")
	csv := testenv.Data(t, "face", "lfw_given.csv")
	raw, err := os.ReadFile(testenv.Data(t, "face", "lfw_y1_profile.npz"))
	if err != nil {
		t.Fatal(err)
	}
	prof, err := face.ReadProfile(raw)
	if err != nil {
		t.Fatal(err)
	}
	set, err := lab.LoadFaces(npy, csv)
	if err != nil {
		t.Fatal(err)
	}
	r, err := lab.Faces(context.Background(), set, lab.FaceOptions{Profile: prof, Seeds: 2, NoFMR: true})
	if err != nil {
		t.Fatal(err)
	}
	for i, most := range []float64{0.12, 0.015, 0.01} {
		if r.FNMR[i] > most {
			t.Errorf("%d captures: FNMR %.4f, want at most %.4f", i+1, r.FNMR[i], most)
		}
	}
	if r.People != 121 || r.FTE > 0.01 {
		t.Errorf("%d people, FTE %.3f", r.People, r.FTE)
	}
}

func TestLabelsRefused(t *testing.T) {
	dir := t.TempDir()
	npy := filepath.Join(dir, "a.npy")
	f, err := os.Create(npy)
	if err != nil {
		t.Fatal(err)
	}
	if err := face.WriteNPY(f, &face.Array{Rows: 2, Cols: 64, Data: make([]float64, 128)}); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	for name, text := range map[string]string{
		"no header": "", "no id": "row,capture\n0,1\n", "row out of range": "row,id,capture\n2,a,1\n",
		"row twice": "row,id,capture\n0,a,1\n0,b,1\n", "one identity": "row,id,capture\n0,a,1\n1,a,2\n", "not a number": "row,id,capture\nx,a,1\n",
	} {
		csv := filepath.Join(dir, "l.csv")
		if err := os.WriteFile(csv, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := lab.LoadFaces(npy, csv); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
