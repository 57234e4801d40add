package ppdtest

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/ppd/fingerprint"
)

// Fingers makes synthetic finger minutiae: ridge flow from loops and deltas
// (Sherlock and Monro, Pattern Recognition 26(7), 1993), minutiae along it, and
// impressions that turn, shift, stretch, miss and invent. It is for tests and
// demonstrations; rates measured on it say nothing about real fingers.
type Fingers struct {
	seed uint64
	// Worse scales shift, distortion, missing and spurious points; 0 = 1.
	Worse float64
}

// NewFingers returns a generator; the same seed gives the same fingers.
func NewFingers(seed uint64) *Fingers { return &Fingers{seed: seed} }

// Size of a synthetic impression in pixels at 500 dpi.
const (
	fingerWidth, fingerHeight = 360, 420
	fingerDPCM                = 197
)

// minutia of the whole finger: pixels from its middle, y upwards.
type minutia struct {
	x, y, a float64
	kind    fingerprint.Type
	clear   float64 // 0..1, how reliably it is seen
}

// Impression returns the n-th impression of a finger as an ISO/IEC 19794-2:2005
// record.
func (f *Fingers) Impression(finger, n int) []byte {
	worse := f.Worse
	if worse == 0 {
		worse = 1
	}
	master := f.master(finger)
	r := rand.New(rand.NewPCG(f.seed^0x9e3779b97f4a7c15, uint64(finger)<<20|uint64(n)))
	rot := r.NormFloat64() * 6 * math.Pi / 180
	sx, sy := r.NormFloat64()*14*worse, r.NormFloat64()*16*worse
	bend := newBend(r, 3.5*worse)
	sin, cos := math.Sincos(rot)
	var out []fingerprint.Raw
	for _, m := range master {
		if r.Float64() > m.clear-0.06*(worse-1) {
			continue
		}
		dx, dy := bend.at(m.x, m.y)
		x, y := m.x+dx+r.NormFloat64()*1.3, m.y+dy+r.NormFloat64()*1.3
		out = seen(out, cos*x-sin*y+sx, sin*x+cos*y+sy, m.a+rot+r.NormFloat64()*0.07, m.kind, uint8(30+60*m.clear))
	}
	for range int((3 + 5*r.Float64()) * worse) {
		out = seen(out, (r.Float64()-0.5)*280, (r.Float64()-0.5)*360, r.Float64()*2*math.Pi, fingerprint.Ending, uint8(15+r.IntN(40)))
	}
	slices.SortStableFunc(out, func(a, b fingerprint.Raw) int { return int(b.Quality) - int(a.Quality) })
	rec, err := fingerprint.WriteFMR([]fingerprint.View{{Quality: 80, Width: fingerWidth, Height: fingerHeight, DPCMx: fingerDPCM, DPCMy: fingerDPCM, Minutiae: out}})
	if err != nil {
		panic(err) // a record of this size is always valid
	}
	return rec
}

// seen adds a minutia if the reader's window shows it.
func seen(out []fingerprint.Raw, x, y, a float64, kind fingerprint.Type, quality uint8) []fingerprint.Raw {
	px, py := x+fingerWidth/2, fingerHeight/2-y
	if px < 0 || py < 0 || px >= fingerWidth || py >= fingerHeight || math.Hypot(x/150, y/190) > 1 {
		return out
	}
	a = math.Mod(math.Mod(a, 2*math.Pi)+2*math.Pi, 2*math.Pi)
	return append(out, fingerprint.Raw{X: uint16(px), Y: uint16(py), Angle: a, Type: kind, Quality: quality})
}

// master is the finger itself: a little more than a reader shows.
func (f *Fingers) master(finger int) []minutia {
	r := rand.New(rand.NewPCG(f.seed, uint64(finger)+1))
	flow := newFlow(r)
	var out []minutia
	for tries := 0; tries < 4000 && len(out) < 64; tries++ {
		x, y := (r.Float64()-0.5)*2*175, (r.Float64()-0.5)*2*215
		if math.Hypot(x/175, y/215) > 1 || slices.ContainsFunc(out, func(m minutia) bool { return math.Hypot(m.x-x, m.y-y) < 16 }) {
			continue
		}
		a := flow.at(x, y) + r.NormFloat64()*0.08
		if r.IntN(2) == 0 {
			a += math.Pi
		}
		out = append(out, minutia{x, y, a, fingerprint.Type(1 + r.IntN(2)), 0.97 - 0.35*r.Float64()*r.Float64()})
	}
	return out
}

// flow is an orientation field: loops turn it one way, deltas the other.
type flow struct {
	loops, deltas [][2]float64
}

func newFlow(r *rand.Rand) flow {
	jitter := func(x, y float64) [2]float64 { return [2]float64{x + r.NormFloat64()*10, y + r.NormFloat64()*12} }
	switch r.IntN(4) {
	case 0: // whorl
		return flow{[][2]float64{jitter(0, 35), jitter(0, -15)}, [][2]float64{jitter(-110, -110), jitter(110, -110)}}
	case 1: // right loop
		return flow{[][2]float64{jitter(0, 20)}, [][2]float64{jitter(-100, -110)}}
	default: // left loop
		return flow{[][2]float64{jitter(0, 20)}, [][2]float64{jitter(100, -110)}}
	}
}

func (f flow) at(x, y float64) float64 {
	var a float64
	for _, p := range f.loops {
		a += math.Atan2(y-p[1], x-p[0]) / 2
	}
	for _, p := range f.deltas {
		a -= math.Atan2(y-p[1], x-p[0]) / 2
	}
	return a + math.Pi/2*float64(len(f.loops)-len(f.deltas))
}

// bend is a smooth elastic displacement: three waves.
type bend struct{ ax, ay, kx, ky, ph [3]float64 }

func newBend(r *rand.Rand, size float64) (b bend) {
	for i := range b.ax {
		b.ax[i], b.ay[i] = r.NormFloat64()*size/2, r.NormFloat64()*size/2
		b.kx[i], b.ky[i], b.ph[i] = r.NormFloat64()*0.012, r.NormFloat64()*0.012, r.Float64()*2*math.Pi
	}
	return b
}

func (b bend) at(x, y float64) (dx, dy float64) {
	for i := range b.ax {
		s := math.Sin(b.kx[i]*x + b.ky[i]*y + b.ph[i])
		dx, dy = dx+b.ax[i]*s, dy+b.ay[i]*s
	}
	return dx, dy
}

// Finger is the person of a seed with one finger. Every prompt gets another
// impression; recovery never repeats one of the enrolment.
func Finger(seed uint64) Person {
	return finger{NewFingers(0xf1), int(seed)}
}

type finger struct {
	gen *Fingers
	who int
}

func (f finger) Ask(ctx context.Context, q core.Prompt) (core.Sample, error) {
	if err := ctx.Err(); err != nil {
		return core.Sample{}, core.Errorf(core.Canceled, "ppdtest: person", "%w", err)
	}
	n := q.Index
	if q.Purpose == core.PurposeRecover {
		n += 100
	}
	s := core.NewSample(core.SampleISOFMR, f.gen.Impression(f.who, n))
	s.Model = "synthetic"
	return s, nil
}

// PoorFinger is an impression of hardly any finger.
func PoorFinger(core.Prompt) core.Sample {
	rec, err := fingerprint.WriteFMR([]fingerprint.View{{Width: 100, Height: 100, DPCMx: fingerDPCM, DPCMy: fingerDPCM,
		Minutiae: []fingerprint.Raw{{X: 10, Y: 10, Type: fingerprint.Ending}}}})
	if err != nil {
		panic(err)
	}
	return core.NewSample(core.SampleISOFMR, rec)
}
