package lab

import (
	"context"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"runtime"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/ppd/face"
	"github.com/keposs/keposs/ppd/fuzzy"
)

type faceRun struct {
	o        FaceOptions
	set      *FaceSet
	prof     *face.Profile
	sk       *face.Sketcher
	res      *FaceResult
	subjects []subject
	rows     []row // every usable capture, for impostors
}

type row struct {
	person int
	z      []float64
}

// prepare whitens every capture once and applies the gates.
func (f *faceRun) prepare() {
	refused, total, fte := 0, 0, 0
	for i, p := range f.set.People {
		var shots []face.Shot
		for _, c := range p.Captures {
			total++
			s, err := face.Accept(f.prof, c, nil)
			if err != nil {
				refused++
				// A gate is not counted on against impostors: theirs enter ungated.
				if s, err = face.Accept(ungated(f.prof), c, nil); err == nil {
					f.rows = append(f.rows, row{i, s.Z})
				}
				continue
			}
			shots = append(shots, s)
			f.rows = append(f.rows, row{i, s.Z})
		}
		if p.Impostor {
			f.res.Impostors++
			continue
		}
		if len(p.Captures) <= f.o.Enrol {
			f.res.TooFew++
			continue
		}
		s := subject{person: i, refused: true}
		// A refused capture is asked for again, so the next one takes its place;
		// where the data then run short, three captures will do.
		if n := min(f.o.Enrol, max(minEnrolCaptures, len(shots)-1)); n < len(shots) {
			s.rest = shots[n:]
			if face.Agree(shots[:n]) >= face.MinEnrol {
				s.refused = false
				s.template = face.Fuse(shots[:n])
			}
		}
		if s.refused {
			fte++
		}
		f.subjects = append(f.subjects, s)
	}
	f.res.People = len(f.subjects)
	if total > 0 {
		f.res.FTA = float64(refused) / float64(total)
	}
	if len(f.subjects) > 0 {
		f.res.FTE = float64(fte) / float64(len(f.subjects))
	}
}

// ungated is p but for the gate on the norm: its captures are taken by all else.
func ungated(p *face.Profile) *face.Profile {
	open := *p
	open.NormP10 = 0
	return &open
}

// minEnrolCaptures is the least the source enrols with.
const minEnrolCaptures = 3

// A record is one enrolment under one seed.
type record struct {
	key    *secret.Buffer
	turn   *fuzzy.Rotation
	helper [face.HelperSize]byte
	word   fuzzy.Bits
}

// enrolled makes a subject's record for a seed, the same at every run.
func (f *faceRun) enrolled(s int, seed int) (record, error) {
	var k [32]byte
	binary.BigEndian.PutUint64(k[:], uint64(seed))
	binary.BigEndian.PutUint64(k[8:], uint64(f.subjects[s].person))
	rng := rand.NewChaCha8(k)
	key, err := secret.Read(rng, 32)
	if err != nil {
		return record{}, err
	}
	turn, err := f.sk.Rotation(key, f.prof.Dim)
	if err != nil {
		return record{}, err
	}
	p := f.sk.Turn(turn, f.subjects[s].template)
	helper, sec, err := f.sk.Enrol(rng, p, [32]byte{})
	if err != nil {
		return record{}, err
	}
	sec.Wipe()
	return record{key: key, turn: turn, helper: helper, word: f.sk.Decode(p, helper)}, nil
}

// accepts tells whether the source would answer with the record's secret, and
// whether the decoder alone finds its word.
func (f *faceRun) accepts(rec record, z []float64) (online, offline bool) {
	q := f.sk.Turn(rec.turn, z)
	offline = f.sk.Finds(q, rec.helper, rec.word)
	return offline && f.sk.Near(q, rec.helper, rec.word), offline
}

// genuine measures FNMR with one, two and three captures fused: every run of
// consecutive accepted captures after the enrolment.
func (f *faceRun) genuine(ctx context.Context) error {
	var tallies [3][]tally
	for n := range tallies {
		tallies[n] = make([]tally, len(f.subjects))
	}
	var again [3]atomic.Int64
	var mu sync.Mutex
	done := 0
	err := f.parallel(ctx, len(f.subjects), func(s int) error {
		sub := f.subjects[s]
		sessions, disagree := sub.sessions()
		if sub.refused {
			for n := range tallies {
				tallies[n][s] = tally{trials: f.o.Seeds, errors: f.o.Seeds}
			}
		} else {
			for n := range again {
				again[n].Add(int64(disagree[n])) // the source asks again before any try
			}
			for seed := range f.o.Seeds {
				rec, err := f.enrolled(s, seed)
				if err != nil {
					return err
				}
				for _, x := range sessions {
					t := &tallies[x.n-1][s]
					t.trials++
					if ok, _ := f.accepts(rec, x.z); !ok {
						t.errors++
					}
				}
			}
		}
		mu.Lock()
		done++
		f.o.Progress(done, len(f.subjects), "genuine attempts")
		mu.Unlock()
		return nil
	})
	if err != nil {
		return err
	}
	for n := range tallies {
		f.res.AskedAgain[n] = int(again[n].Load())
		f.res.Intervals[n] = rateOf(tallies[n], false, uint64(n))
		f.res.BalancedCI[n] = rateOf(tallies[n], true, uint64(n))
		f.res.FNMR[n], f.res.FNMRBalanced[n] = f.res.Intervals[n].Value, f.res.BalancedCI[n].Value
	}
	return nil
}

// impostors holds every record against every row of every other identity, and
// against the sessions of those who are measured.
func (f *faceRun) impostors(ctx context.Context) error {
	type unit struct{ s, seed int }
	var units []unit
	for seed := range f.o.Seeds {
		for s, sub := range f.subjects {
			if !sub.refused {
				units = append(units, unit{s, seed})
			}
		}
	}
	var sessions []session
	for _, sub := range f.subjects {
		own, _ := sub.sessions()
		sessions = append(sessions, own...)
	}
	pairs := map[[2]int]int{}
	var mu sync.Mutex
	done := 0
	err := f.parallel(ctx, len(units), func(i int) error {
		u := units[i]
		rec, err := f.enrolled(u.s, u.seed)
		if err != nil {
			return err
		}
		hits, trials, offline := map[int]int{}, 0, 0
		for _, r := range f.rows {
			if r.person == f.subjects[u.s].person {
				continue
			}
			trials++
			online, found := f.accepts(rec, r.z)
			offline += count(found)
			if online {
				hits[r.person]++
			}
		}
		sat := f.strangers(rec, f.subjects[u.s].person, sessions)
		mu.Lock()
		defer mu.Unlock()
		f.res.Sessions.add(sat)
		for person, n := range hits {
			f.res.FalseAccepts += n
			pairs[[2]int{f.subjects[u.s].person, person}] += n
		}
		f.res.ImpostorTrials += trials
		f.res.OfflineAccepts += offline
		done++
		f.o.Progress(done, len(units), "impostor attempts")
		return nil
	})
	if err != nil {
		return err
	}
	f.res.Sessions.bound()
	f.res.PerTry = upperBound(f.res.FalseAccepts, f.res.ImpostorTrials)
	f.res.FMRLog2 = math.Log2(ruleOfThree(f.res.FalseAccepts, f.res.ImpostorTrials))
	f.res.OfflineBits = -math.Log2(upperBound(f.res.OfflineAccepts, f.res.ImpostorTrials))
	f.res.FMRInterval = f.fmrInterval(pairs)
	f.res.Pairs = f.worst(pairs)
	return nil
}

// worst names the pairs of identities behind the false accepts, most first: a
// pair that stands out is often one person under two names.
func (f *faceRun) worst(pairs map[[2]int]int) (out []FacePair) {
	for p, n := range pairs {
		out = append(out, FacePair{Record: f.set.People[p[0]].ID, Sample: f.set.People[p[1]].ID, Accepts: n})
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := out[i], out[j]
		if a.Accepts != b.Accepts {
			return a.Accepts > b.Accepts
		}
		return a.Record+" "+a.Sample < b.Record+" "+b.Sample
	})
	return out[:min(len(out), 10)]
}

// parallel runs fn for 0..n-1 on every core.
func (f *faceRun) parallel(ctx context.Context, n int, fn func(i int) error) error {
	work := make(chan int)
	errs := make(chan error, runtime.GOMAXPROCS(0))
	for range cap(errs) {
		go func() {
			var first error
			for i := range work {
				if first == nil {
					first = fn(i)
				}
			}
			errs <- first
		}()
	}
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		work <- i
	}
	close(work)
	var first error
	for range cap(errs) {
		if err := <-errs; err != nil {
			first = err
		}
	}
	if first == nil && ctx.Err() != nil {
		first = core.Errorf(core.Canceled, "lab", "%w", ctx.Err())
	}
	return first
}
