package oprf

import (
	"crypto/subtle"
	"slices"

	"github.com/keposs/keposs/core/internal/mont"
	"github.com/keposs/keposs/core/sm"
)

// mode is VOPRF. It stands in every tag, also where no proof is asked for.
const mode = 0x01

// MaxInput is the longest input in bytes: its length is a 16-bit number.
const MaxInput = 1<<16 - 1

func (g *group) context() string { return "OPRFV1-" + string(rune(mode)) + "-" + g.suite }

func (g *group) tagGroup() string  { return "HashToGroup-" + g.context() }
func (g *group) tagScalar() string { return "HashToScalar-" + g.context() }

func u16(n int) []byte { return []byte{byte(n >> 8), byte(n)} }

// toScalar is HashToScalar.
func (g *group) toScalar(e *mont.Elem, dst string, msg ...[]byte) {
	var s [1]mont.Elem
	g.toField(g.n, s[:], dst, msg...)
	*e = s[0]
	s[0] = mont.Elem{}
}

// blind sets out = r·HashToGroup(input); false when that is the identity.
func (g *group) blind(out *point, r *[32]byte, input []byte) bool {
	var h proj
	g.hashToCurve(&h, g.tagGroup(), input)
	g.multProj(&h, r, &h)
	return g.store(out, &h)
}

// unblind sets out = r^-1·e in constant time.
func (g *group) unblind(out *point, r *[32]byte, e *point) bool {
	var s mont.Elem
	var inv [32]byte
	g.n.SetBytes(&s, r)
	g.n.Inv(&s, &s)
	g.n.Bytes(&inv, &s)
	var q proj
	g.load(&q, e)
	g.multProj(&q, &inv, &q)
	return g.store(out, &q)
}

// finish is the hash at the end of Finalize (RFC 9497 3.3.1).
func (g *group) finish(input []byte, n *point) [32]byte {
	c := n.compress()
	defer clear(c[:])
	return g.hash(u16(len(input)), input, u16(len(c)), c[:], []byte("Finalize"))
}

// deriveKey is DeriveKeyPair (RFC 9497 3.2.1); false when 256 tries gave 0.
func (g *group) deriveKey(k *[32]byte, seed *[32]byte, info []byte) bool {
	for counter := range 256 {
		var s mont.Elem
		g.toScalar(&s, "DeriveKeyPair"+g.context(), seed[:], u16(len(info)), info, []byte{byte(counter)})
		if mont.IsZero(&s) == 0 {
			g.n.Bytes(k, &s)
			return true
		}
	}
	return false
}

// weights gives the scalars d_i of ComputeComposites (RFC 9497 2.2.1).
func (g *group) weights(pub *[33]byte, c, d [][33]byte) [][32]byte {
	seedTag := "Seed-" + g.context()
	seed := g.hash(u16(33), pub[:], u16(len(seedTag)), []byte(seedTag))
	out := make([][32]byte, len(c))
	for i := range c {
		var s mont.Elem
		g.toScalar(&s, g.tagScalar(), u16(32), seed[:], u16(i), u16(33), c[i][:], u16(33), d[i][:], []byte("Composite"))
		g.n.Bytes(&out[i], &s)
	}
	return out
}

// sum adds points; false for none and when a partial sum is the identity.
func (g *group) sum(ps []product) (sum point, ok bool) {
	for i := range ps {
		if !ps[i].ok {
			return sum, false
		}
		if i == 0 {
			sum = ps[i].out
		} else if sum, ok = g.add(&sum, &ps[i].out); !ok {
			return sum, false
		}
	}
	return sum, len(ps) > 0
}

// composite is Σ w_i·q_i for public weights.
func (g *group) composite(w [][32]byte, q []point) (sum point, ok bool) {
	return g.sum(g.terms(make([]product, 0, len(q)), w, q))
}

// terms appends the products w_i·q_i and computes all of ps.
func (g *group) terms(ps []product, w [][32]byte, q []point) []product {
	for i := range q {
		ps = append(ps, product{k: &w[i], q: &q[i]})
	}
	g.mults(ps)
	return ps
}

// challenge is the c of GenerateProof and VerifyProof.
func (g *group) challenge(c *mont.Elem, pub *[33]byte, pts ...*point) {
	msg := [][]byte{u16(33), pub[:]}
	for _, p := range pts {
		b := p.compress()
		msg = append(msg, u16(33), b[:])
	}
	g.toScalar(c, g.tagScalar(), append(msg, []byte("Challenge"))...)
}

func compressAll(q []point) [][33]byte {
	out := make([][33]byte, len(q))
	for i := range q {
		out[i] = q[i].compress()
	}
	return out
}

// scaled appends v·w_i modulo n to the weights; they are secret when v is.
func (g *group) scaled(out, w [][32]byte, v *[32]byte) [][32]byte {
	var a, b mont.Elem
	g.n.SetBytes(&a, v)
	for i := range w {
		g.n.SetBytes(&b, &w[i])
		g.n.Mul(&b, &b, &a)
		var k [32]byte
		g.n.Bytes(&k, &b)
		out = append(out, k)
		clear(k[:])
	}
	a, b = mont.Elem{}, mont.Elem{}
	return out
}

// prove makes the proof c ‖ s that d_i = k·c_i for all i and pub = k·G, with
// the nonce r (RFC 9497 2.2.1, ComputeCompositesFast). Its three sums over the
// c_i, M, k·M and r·M, are taken with the weights times 1, k and r, so that
// nothing waits for M and all products are computed together.
func (g *group) prove(proof *[64]byte, k, r *[32]byte, pub *[33]byte, c, d []point) bool {
	n := len(c)
	w := make([][32]byte, 0, 3*n)
	defer clear(w[:3*n])
	ps := make([]product, 0, 3*n+1)
	sm.Guard(func() {
		w = append(w, g.weights(pub, compressAll(c), compressAll(d))...)
		w = g.scaled(w, w[:n], k)
		w = g.scaled(w, w[:n], r)
	})
	ps = g.terms(append(ps, product{k: r}), w, slices.Repeat(c, 3))
	m, ok := g.sum(ps[1 : 1+n])
	z, ok2 := g.sum(ps[1+n : 1+2*n])
	t3, ok3 := g.sum(ps[1+2*n:])
	if !ok || !ok2 || !ok3 || !ps[0].ok {
		return false
	}
	sm.Guard(func() {
		var ch, s, ks mont.Elem
		g.challenge(&ch, pub, &m, &z, &ps[0].out, &t3)
		g.n.SetBytes(&ks, k)
		g.n.Mul(&ks, &ks, &ch)
		g.n.SetBytes(&s, r)
		g.n.Sub(&s, &s, &ks)
		g.n.Bytes((*[32]byte)(proof[:32]), &ch)
		g.n.Bytes((*[32]byte)(proof[32:]), &s)
	})
	return true
}

// verify checks a proof of prove. All of it is public.
func (g *group) verify(pub point, c, d []point, proof *[64]byte) bool {
	var ch, s mont.Elem
	if g.n.SetBytes(&ch, (*[32]byte)(proof[:32]))&g.n.SetBytes(&s, (*[32]byte)(proof[32:])) == 0 {
		return false
	}
	b := pub.compress()
	w := g.weights(&b, compressAll(c), compressAll(d))
	m, ok := g.composite(w, c)
	if !ok {
		return false
	}
	z, ok := g.composite(w, d)
	if !ok {
		return false
	}
	c32, s32 := (*[32]byte)(proof[:32]), (*[32]byte)(proof[32:])
	ps := []product{{k: s32}, {k: c32, q: &pub}, {k: s32, q: &m}, {k: c32, q: &z}}
	g.mults(ps) // a zero scalar, which an honest proof has with probability 2^-255, is refused
	t2, ok2 := g.sum(ps[:2])
	t3, ok3 := g.sum(ps[2:])
	if !ok2 || !ok3 {
		return false
	}
	var want mont.Elem
	g.challenge(&want, &b, &m, &z, &t2, &t3)
	var out [32]byte
	g.n.Bytes(&out, &want)
	return subtle.ConstantTimeCompare(out[:], proof[:32]) == 1
}
