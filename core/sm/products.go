package sm

import (
	"github.com/keposs/keposs/core/internal/lanes"
	"github.com/keposs/keposs/core/internal/mont"
)

// A Product is [K]P to be computed, a nil P being the generator: K has 32
// big-endian bytes, taken modulo n, and stays the caller's. Q is the answer
// and OK its second half, both as Mult gives them.
type Product struct {
	K  *[32]byte
	P  *PublicKey
	Q  PublicKey
	OK bool
}

// minLanes is from how many products on the lanes are cheaper than one after
// the other: eight in lanes cost about one and a half single ones.
const minLanes = 2

// useLanes is false where the processor has no instructions for it.
var useLanes = lanes.Fast()

// Products computes all of ps in constant time and leaves no copy of a scalar
// behind. With AVX-512 IFMA it joins them with what other goroutines ask for at
// the same moment: it lets those run who are ready to, once, and computes for
// all of them eight products at a time.
func Products(ps ...*Product) {
	if !useLanes {
		one(ps)
		return
	}
	gathered.do(ps...)
}

var gathered = gathering[*Product]{run: inLanes}

// one computes them one after the other.
func one(ps []*Product) {
	guarded(func() {
		for _, p := range ps {
			p.alone()
		}
	})
}

func (p *Product) alone() {
	switch {
	case p.P == nil:
		p.Q, p.OK = baseMult(p.K)
	case !p.P.IsZero():
		p.Q, p.OK = p.P.mult(p.K)
	}
}

// inLanes computes eight at a time, and a remainder below minLanes alone.
func inLanes(ps []*Product) {
	for len(ps) >= minLanes {
		n := min(len(ps), lanes.Width)
		guarded(func() { eight(ps[:n]) })
		ps = ps[n:]
	}
	if len(ps) > 0 {
		one(ps)
	}
}

// eight computes up to eight; a lane without a product repeats the first.
func eight(ps []*Product) {
	var k [lanes.Width][32]byte
	var p, q [lanes.Width][64]byte
	for l := range k {
		from := ps[0]
		if l < len(ps) {
			from = ps[l]
		}
		p[l] = generator.xy
		if from.P != nil && !from.P.IsZero() {
			p[l] = from.P.xy
		}
		var e mont.Elem
		order.SetBytes(&e, from.K)
		order.Bytes(&k[l], &e)
	}
	done := lanes.Mult(&q, &k, &p)
	for l, from := range ps {
		switch {
		case from.P != nil && from.P.IsZero():
		case done[l]:
			from.Q.xy, from.OK = q[l], true
		default: // 0, or the one scalar that lanes give back
			from.alone()
		}
	}
	clear(k[:])
	clear(q[:])
}

// generator is G.
var generator = func() PublicKey {
	g, _ := baseMult(&[32]byte{31: 1})
	return g
}()
