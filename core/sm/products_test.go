package sm

import (
	"math/rand/v2"
	"sync"
	"testing"
)

// products draws n of them: random points, the generator, and odd ones.
func products(r *rand.Rand, n int) (ps []*Product) {
	for i := range n {
		k := new([32]byte)
		for j := range k {
			k[j] = byte(r.Uint32())
		}
		q, _ := baseMult(k)
		p := &Product{K: k, P: &q}
		switch i % 7 {
		case 1:
			p.P = nil
		case 2: // n and more
			for j := range 8 {
				k[j] = 0xff
			}
		case 3:
			*k = GroupOrder()
		case 4:
			p.P = &PublicKey{}
		case 5:
			*k = [32]byte{31: byte(i)}
		}
		ps = append(ps, p)
	}
	return ps
}

func same(t *testing.T, ps []*Product) {
	t.Helper()
	for _, p := range ps {
		want, ok := PublicKey{}, false
		if p.P == nil {
			want, ok = BaseMult(p.K)
		} else {
			want, ok = p.P.Mult(p.K)
		}
		if p.Q != want || p.OK != ok {
			t.Errorf("%x times %v: %x %v, want %x %v", *p.K, p.P, p.Q.Compressed(), p.OK, want.Compressed(), ok)
		}
	}
}

// Products are those of Mult and BaseMult in every number, in lanes and
// without, and when many ask at once.
func TestProducts(t *testing.T) {
	defer func(was bool) { useLanes = was }(useLanes)
	r := rand.New(rand.NewPCG(13, 14))
	for _, use := range []bool{false, true} {
		useLanes = use
		for n := range 20 {
			ps := products(r, n)
			Products(ps...)
			same(t, ps)
		}
	}
	var wg sync.WaitGroup
	var all [16][]*Product
	for i := range all {
		all[i] = products(r, 1+i%5)
		wg.Go(func() { Products(all[i]...) })
	}
	wg.Wait()
	for _, ps := range all {
		same(t, ps)
	}
}
