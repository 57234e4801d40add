package lab

import (
	"context"
	"fmt"
	"math"
	"math/bits"
	"sort"
	"time"

	"github.com/keposs/keposs/core"
)

// agreement counts equal bits, equal counts equal bytes in equal places.
func agreement(a, b []byte) (equalBits, equalBytes float64) {
	for i := range min(len(a), len(b)) {
		equalBits += float64(8 - bits.OnesCount8(a[i]^b[i]))
		equalBytes += float64(count(a[i] == b[i]))
	}
	return equalBits, equalBytes
}

// unlinkability scores pairs of stored records of one person against pairs of
// two (ISO/IEC 24745, 30136) by every likeness known. Pairs of neighbours only,
// so that pairs are nearly independent.
func (p *protection) unlinkability(context.Context) error {
	var mated, other [3][]float64
	var clear [2][]float64
	score := func(to *[3][]float64, a, b protectedRecord) {
		eb, ey := agreement(a.stored, b.stored)
		to[0], to[1] = append(to[0], eb), append(to[1], ey)
		if p.set.Link != nil {
			to[2] = append(to[2], p.set.Link(a.stored, b.stored))
		}
	}
	people := map[int]bool{}
	for i, a := range p.recs {
		people[a.person] = true
		if i+1 < len(p.recs) && p.recs[i+1].person == a.person {
			score(&mated, a, p.recs[i+1])
			if p.set.Link != nil {
				clear[0] = append(clear[0], p.set.Link(a.clear, p.recs[i+1].clear))
			}
		}
		for _, step := range []int{1, 2} {
			if b := p.recs[(i+step*p.o.Records)%len(p.recs)]; b.person != a.person {
				score(&other, a, b)
				if p.set.Link != nil && step == 1 {
					clear[1] = append(clear[1], p.set.Link(a.clear, b.clear))
				}
			}
		}
	}
	worst, by := 0.0, ""
	for i, name := range []string{"equal bits", "equal bytes", "constellations"} {
		if len(mated[i]) > 0 {
			if d := apartness(mated[i], other[i]); d >= worst {
				worst, by = d, name
			}
		}
	}
	p.res.ClearAUC = aucOf(clear[0], clear[1])
	p.find("unlinkability", worst, tolerance(len(mated[0]), len(other[0])), fmt.Sprintf("AUC 0.5 ± %.3f by %s over %d mated pairs as stored; in the clear AUC %.2f", worst, by, len(mated[0]), p.res.ClearAUC))
	return nil
}

// multiplicity asks what several records of one person give together: equal
// secrets, helpers that cancel, and the attack the set knows.
func (p *protection) multiplicity(context.Context) error {
	same, pairs, attacked := 0, 0, 0
	for i := 1; i < len(p.recs); i++ {
		a, b := p.recs[i-1], p.recs[i]
		if a.person != b.person {
			continue
		}
		pairs++
		same += count(a.sec.Equal(b.sec))
		if p.set.Multiplicity != nil {
			attacked += count(p.set.Multiplicity(a.clear, b.clear))
		}
	}
	p.find("renewability", float64(same), 0, fmt.Sprintf("%d of %d pairs of records of one person share the secret", same, pairs))
	detail := fmt.Sprintf("%d of %d pairs of unmasked records opened each other", attacked, pairs)
	if p.set.Multiplicity == nil {
		detail = "no attack on this source's helpers is known to the suite"
	}
	p.find("multiplicity", float64(attacked), 0, detail)
	return nil
}

// wrongKey asks whether unmasking with the right key can be told from a wrong
// one: by bytes that keep a value, by bits, and by what the set knows of helpers.
func (p *protection) wrongKey(context.Context) error {
	right, wrong := map[string][]float64{}, map[string][]float64{}
	figures := func(to map[string][]float64, h []byte) {
		ones := 0
		for _, b := range h {
			ones += bits.OnesCount8(b)
		}
		to["ones"] = append(to["ones"], float64(ones))
		if p.set.Plausible != nil {
			for k, v := range p.set.Plausible(h) {
				to[k] = append(to[k], v)
			}
		}
	}
	for _, r := range p.recs {
		figures(right, r.clear)
		figures(wrong, r.wrong)
	}
	worst, by := 0.0, ""
	for k := range right {
		if d := apartness(right[k], wrong[k]); d >= worst {
			worst, by = d, k
		}
	}
	// People, not records, are independent on the right side.
	p.find("wrong key", worst, tolerance(p.o.People, len(p.recs)), fmt.Sprintf("right and wrong keys differ by AUC 0.5 ± %.3f in %s", worst, by))
	mode := p.constantByte()
	// 256 values, Poisson tails over all places: this many equal ones happen in
	// one run of a thousand.
	n := float64(len(p.recs))
	limit := n/256 + 7*math.Sqrt(n/256) + 4
	p.find("constant bytes", mode, limit, fmt.Sprintf("the commonest value of one place occurs in %.0f of %.0f helpers", mode, n))
	return nil
}

// constantByte is how often the commonest value of any one place occurs.
func (p *protection) constantByte() (most float64) {
	for at := range p.recs[0].clear {
		var seen [256]int
		for _, r := range p.recs {
			if at < len(r.clear) {
				seen[r.clear[at]]++
				most = math.Max(most, float64(seen[r.clear[at]]))
			}
		}
	}
	return most
}

// steps of a climb from a stranger's sample to the person's own.
const climbSteps = 5

// hillClimb walks from a stranger's sample towards the person's own. A climber
// needs a slope: answers, before the one that opens, that tell how near he is.
func (p *protection) hillClimb(ctx context.Context) error {
	var shares, likeness []float64
	errors, tries := 0, 0
	for n := range min(8, len(p.recs)) {
		r := &p.recs[n*len(p.recs)/min(8, len(p.recs))]
		own := func(take int) []byte { return p.set.Sample(r.person, take) }
		stranger := func(take int) []byte { return p.set.Sample((r.person+1)%p.set.People, take) }
		for s := range climbSteps + 1 {
			share := float64(s) / climbSteps
			sample := stranger
			switch {
			case p.set.Morph != nil:
				sample = func(take int) []byte { return p.set.Morph(stranger(take), own(take), share) }
			case s == climbSteps:
				sample = own
			case s > 0:
				continue
			}
			p.v.share = share
			sec, _, err := p.recovered(ctx, r, sample)
			if core.CodeOf(err) == core.Canceled {
				return err
			}
			tries++
			if err != nil {
				errors++
				continue
			}
			if !sec.Equal(r.sec) {
				eb, _ := agreement(sec.Bytes(), r.sec.Bytes())
				shares, likeness = append(shares, share), append(likeness, eb)
			}
			sec.Wipe()
		}
	}
	p.find("answers", float64(errors), 0, fmt.Sprintf("%d of %d recoveries failed with an error instead of a secret", errors, tries))
	n := len(shares)
	if n < 8 {
		p.find("hill climbing", 0, 1, fmt.Sprintf("%d refused answers: too few to climb on", n))
		return nil
	}
	// Bits of a wrong secret that agree with the right one are a fair coin each.
	half := 4 * float64(p.recs[0].sec.Len())
	worst := 0.0
	for _, v := range likeness {
		worst = math.Max(worst, math.Abs(v-half)/math.Sqrt(half/2))
	}
	slope := math.Abs(correlation(shares, likeness)) * math.Sqrt(float64(n))
	p.find("hill climbing", math.Max(worst, slope), 4.5, fmt.Sprintf("over %d refused answers a wrong secret is at most %.1f deviations from unrelated, its slope %.1f", n, worst, slope))
	return nil
}

func correlation(x, y []float64) float64 {
	mx, my := mean(x), mean(y)
	var xy, xx, yy float64
	for i := range x {
		xy += (x[i] - mx) * (y[i] - my)
		xx += (x[i] - mx) * (x[i] - mx)
		yy += (y[i] - my) * (y[i] - my)
	}
	if xx == 0 || yy == 0 {
		return 0
	}
	return xy / math.Sqrt(xx*yy)
}

// timing compares the medians of matching and refused recoveries, taken in turn
// on the same records.
func (p *protection) timing(ctx context.Context) error {
	const rounds = 9
	var own, other []float64
	for i := range rounds {
		r := &p.recs[i*len(p.recs)/rounds]
		for _, who := range []int{r.person, (r.person + 1) % p.set.People} {
			p.v.share = float64(count(who == r.person))
			sec, took, err := p.recovered(ctx, r, func(take int) []byte { return p.set.Sample(who, take) })
			if core.CodeOf(err) == core.Canceled {
				return err
			}
			match := err == nil && sec.Equal(r.sec)
			sec.Wipe()
			if ms := float64(took) / float64(time.Millisecond); match {
				own = append(own, ms)
			} else {
				other = append(other, ms)
			}
		}
	}
	if len(own) == 0 || len(other) == 0 {
		p.find("timing", 0, 0.05, fmt.Sprintf("%d matches and %d refusals: nothing to compare", len(own), len(other)))
		return nil
	}
	sort.Float64s(own)
	sort.Float64s(other)
	a, b := quantile(own, 0.5), quantile(other, 0.5)
	diff := math.Abs(a - b)
	value := diff / math.Max(a, b)
	if diff < 0.05 {
		value = 0 // below what any channel of keposs carries
	}
	p.find("timing", value, 0.05, fmt.Sprintf("matches are answered in %.2f ms, refusals in %.2f ms (medians)", a, b))
	return nil
}
