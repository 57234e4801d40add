package face

import "github.com/keposs/keposs/core"

// Gates: what a capture and a group of captures must meet. Cosines are between
// whitened unit vectors. The reasons speak about the captures of one sitting,
// never about an enrolled template.
const (
	MinMutual   = 0.40 // mean pairwise cosine of one attempt's captures
	MinEnrol    = 0.30 // the same of an enrolment: below it is refused,
	WarnEnrol   = 0.40 // below this it is warned about
	replayedCos = 0.98 // two frames this close are one frame
)

// A Shot is one accepted capture: its whitened unit vector and its weight in a
// fusion, the embedding's length, which tells how sure the model was. Neither is
// stored.
type Shot struct {
	Z      []float64
	Weight float64
}

// Accept whitens a capture or refuses it for its own quality.
func Accept(p *Profile, x []float64, earlier []Shot) (Shot, error) {
	const op = "face: capture"
	n := norm(x)
	if p.NormP10 > 0 && n < p.NormP10 {
		return Shot{}, core.Errorf(core.CaptureRefused, op, "the face is blurred, dark or turned away: look straight into the camera, in even light")
	}
	s := Shot{Z: p.transform(x), Weight: n}
	for _, e := range earlier {
		if Cosine(s.Z, e.Z) > replayedCos {
			clear(s.Z)
			return Shot{}, core.Errorf(core.CaptureRefused, op, "this is the previous picture again: take a new one")
		}
	}
	return s, nil
}

// Agree returns the mean pairwise cosine; 1 for a single shot.
func Agree(shots []Shot) float64 {
	var sum float64
	n := 0
	for i := range shots {
		for j := range i {
			sum += Cosine(shots[i].Z, shots[j].Z)
			n++
		}
	}
	if n == 0 {
		return 1
	}
	return sum / float64(n)
}

// Fuse is the weighted mean direction, in order. The caller wipes it.
func Fuse(shots []Shot) []float64 {
	out := make([]float64, len(shots[0].Z))
	for _, s := range shots {
		for i, v := range s.Z {
			out[i] += float64(v * s.Weight)
		}
	}
	scale(out)
	return out
}

func wipe(shots []Shot) {
	for _, s := range shots {
		clear(s.Z)
	}
}
