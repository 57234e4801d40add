package lab

import "github.com/keposs/keposs/ppd/face"

// FaceSessions counts attempts of one, two and three captures, fused as the
// source fuses them, of each measured person against every other's record. Only
// people with captures after their enrolment take part, so two who look alike
// weigh more here than among all rows.
type FaceSessions struct {
	FalseAccepts [3]int     `json:"false_accepts"`
	Trials       [3]int     `json:"trials"`
	PerTry       [3]float64 `json:"per_try"` // 95 % upper bound of one session's chance
}

// A session is one attempt: captures that agree with each other, fused.
type session struct {
	person int
	n      int // captures
	z      []float64
}

// sessions lists every run of consecutive captures after the enrolment, and
// counts those of one, two and three whose captures disagree.
func (s subject) sessions() (out []session, disagree [3]int) {
	for n := 1; n <= 3; n++ {
		for at := 0; at+n <= len(s.rest); at++ {
			shots := s.rest[at : at+n]
			if face.Agree(shots) < face.MinMutual {
				disagree[n-1]++
				continue
			}
			out = append(out, session{s.person, n, face.Fuse(shots)})
		}
	}
	return out, disagree
}

// strangers holds a record of person against the sessions of everybody else.
func (f *faceRun) strangers(rec record, person int, sessions []session) (got FaceSessions) {
	for _, s := range sessions {
		if s.person == person {
			continue
		}
		got.Trials[s.n-1]++
		if online, _ := f.accepts(rec, s.z); online {
			got.FalseAccepts[s.n-1]++
		}
	}
	return got
}

// add sums counts.
func (s *FaceSessions) add(o FaceSessions) {
	for n := range s.Trials {
		s.FalseAccepts[n] += o.FalseAccepts[n]
		s.Trials[n] += o.Trials[n]
	}
}

// bound fills in what the counts allow to claim.
func (s *FaceSessions) bound() {
	for n, all := range s.Trials {
		s.PerTry[n] = upperBound(s.FalseAccepts[n], all)
	}
}
