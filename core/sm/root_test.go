package sm

import (
	"crypto/elliptic"
	"math/rand/v2"
	"sync"
	"testing"
)

// Compressed points are read as gmsm reads them, also when many ask at once:
// half of all x have no point, and x from the prime on is refused.
func TestDecompressIsGmsms(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	var all [200][33]byte
	for i := range all {
		for j := range all[i] {
			all[i][j] = byte(r.Uint32())
		}
		all[i][0] = 2 | all[i][0]&1
		switch i % 8 {
		case 6:
			copy(all[i][1:], []byte{0xff, 0xff, 0xff, 0xff}) // above the prime
		case 7:
			q, _ := BaseMult(&[32]byte{31: byte(i + 1)})
			all[i] = q.Compressed()
		}
	}
	var wg sync.WaitGroup
	good := 0
	for i := range all {
		b := all[i][:]
		x, y := elliptic.UnmarshalCompressed(curve, b) //nolint:staticcheck // gmsm's curve has no other door
		if x != nil {
			good++
		}
		for _, parse := range []func([]byte) (PublicKey, error){ParsePoint, ParseShared} {
			wg.Go(func() {
				p, err := parse(b)
				if (err == nil) != (x != nil) {
					t.Errorf("%x: %v, gmsm gives %v", b, err, x)
				} else if px, py := p.affine(); err == nil && (px.Cmp(x) != 0 || py.Cmp(y) != 0) {
					t.Errorf("%x: %x %x, want %x %x", b, px, py, x, y)
				}
			})
		}
	}
	wg.Wait()
	if good < 60 || good == len(all) {
		t.Errorf("control: %d of %d are points", good, len(all))
	}
}

// Every number of points is read alike, in lanes and alone.
func TestRootsInLanes(t *testing.T) {
	for n := range 20 {
		ps := make([]*parsing, n)
		for i := range ps {
			q, _ := BaseMult(&[32]byte{31: byte(n + i + 1)})
			c := q.Compressed()
			if i%3 == 1 {
				c[32] ^= 1 // mostly another point or none
			}
			ps[i] = &parsing{b: &c}
		}
		rootsInLanes(ps)
		for i, p := range ps {
			var want PublicKey
			if ok := want.decompress(p.b); p.ok != ok || p.p != want {
				t.Errorf("%d of %d: %d %x, want %d %x", i, n, p.ok, p.p.xy, ok, want.xy)
			}
		}
	}
}

// Both forms of a point that gmsm's field arithmetic gets wrong are refused:
// a multiplication would panic over it.
func TestRarePointIsRefused(t *testing.T) {
	b := [33]byte([]byte("\x0200012020B10010090001010A\x80\x00\x00\x00\x00\x00\x00\x00"))
	var p PublicKey
	if p.decompress(&b) != 1 || p.onCurve() != 1 {
		t.Fatal("control: it is no point")
	}
	u := p.Uncompressed()
	for _, form := range [][]byte{b[:], u[:]} {
		q, err := ParsePoint(form)
		if err == nil { // where gmsm takes it, it has to multiply it
			if _, ok := q.Mult(&[32]byte{31: 3}); !ok {
				t.Errorf("%x: no product", form)
			}
		}
	}
}
