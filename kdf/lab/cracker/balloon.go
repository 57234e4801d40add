package cracker

import (
	"context"
	"encoding/binary"
	"math/bits"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/kdf/internal/sm3"
)

// balloon fills one memory with all lanes side by side. The places a step reads
// depend on the salt and on counters only, so they are computed once for all
// guesses: six of the ten hashes of a step are the defender's alone.
type balloon struct {
	width, space, rounds int
	salt                 []byte
	places               []uint32 // space·rounds·3 of them
	mem                  []state
	first                *message
	n                    int
	two                  [2]block // counter ‖ a ‖ b, 72 bytes
	one                  block    // counter ‖ a, 40 bytes
	last                 block    // a ‖ 1, 36 bytes
}

const neighbours = 3

func newBalloon(width int, salt []byte, space, rounds int) *balloon {
	k := &balloon{width: width, space: space, rounds: rounds, salt: salt}
	for l := range sm3.MaxLanes {
		k.one[10][l], k.one[15][l] = 0x80000000, 40*8
		k.two[1][2][l], k.two[1][15][l] = 0x80000000, 72*8
		k.last[8][l], k.last[9][l], k.last[15][l] = 1, 0x80000000, 36*8
	}
	return k
}

// prepare computes the places; the counter runs as in the derivation.
func (k *balloon) prepare(ctx context.Context) error {
	if k.places != nil {
		return nil
	}
	places := make([]uint32, 0, k.space*k.rounds*neighbours)
	var d sm3.Digest
	var w [8]uint32
	var pick [32]byte
	var num [8]byte
	var at [24]byte
	count := uint64(k.space) // the filling took one each
	for t := range k.rounds {
		for m := range k.space {
			if m&1023 == 0 && ctx.Err() != nil {
				return core.Errorf(core.Canceled, "cracker", "%w", ctx.Err())
			}
			count++
			for i := range neighbours {
				binary.LittleEndian.PutUint64(at[0:], uint64(t))
				binary.LittleEndian.PutUint64(at[8:], uint64(m))
				binary.LittleEndian.PutUint64(at[16:], uint64(i))
				d.Reset()
				_, _ = d.Write(at[:])
				d.Sum(&w)
				sm3.PutWords(pick[:], &w)
				binary.LittleEndian.PutUint64(num[:], count)
				d.Reset()
				_, _ = d.Write(num[:])
				_, _ = d.Write(k.salt)
				_, _ = d.Write(pick[:])
				d.Sum(&w)
				sm3.PutWords(pick[:], &w)
				places = append(places, uint32(mod(&pick, uint64(k.space))))
				count += 2
			}
		}
	}
	k.places, k.mem = places, make([]state, k.space)
	return nil
}

// mod returns the little-endian number x modulo n.
func mod(x *[32]byte, n uint64) (r uint64) {
	for i := 24; i >= 0; i -= 8 {
		_, r = bits.Div64(r, binary.LittleEndian.Uint64(x[i:]), n)
	}
	return r
}

func (k *balloon) number(b *block, count uint64) {
	lo, hi := bits.ReverseBytes32(uint32(count)), bits.ReverseBytes32(uint32(count>>32))
	for l := range k.width {
		b[0][l], b[1][l] = lo, hi
	}
}

func (k *balloon) absorb(st *state, b *block) {
	sm3.BlockLanes(k.width, (*[8][sm3.MaxLanes]uint32)(st), (*[16][sm3.MaxLanes]uint32)(b))
}

// mix is dst = SM3(counter ‖ a ‖ b).
func (k *balloon) mix(dst *state, count uint64, a, b *state) {
	k.number(&k.two[0], count)
	copy(k.two[0][2:10], a[:])
	copy(k.two[0][10:16], b[:6])
	copy(k.two[1][0:2], b[6:])
	st := initial()
	k.absorb(&st, &k.two[0])
	k.absorb(&st, &k.two[1])
	*dst = st
}

func (k *balloon) run(ctx context.Context, guesses []string, out [][keyLen]byte) error {
	if err := k.prepare(ctx); err != nil {
		return err
	}
	if n := len(guesses[0]); k.first == nil || n != k.n {
		k.first, k.n = newMessage(make([]byte, 8), n, k.salt, 0), n
	}
	for l, g := range guesses {
		k.first.put(l, g)
	}
	st := initial()
	k.first.hash(k.width, &st)
	k.mem[0] = st
	count := uint64(1)
	for m := 1; m < k.space; m++ {
		k.number(&k.one, count)
		count++
		copy(k.one[2:10], k.mem[m-1][:])
		st := initial()
		k.absorb(&st, &k.one)
		k.mem[m] = st
	}
	next := 0
	for range k.rounds {
		for m := range k.space {
			if m&1023 == 0 && ctx.Err() != nil {
				return core.Errorf(core.Canceled, "cracker", "%w", ctx.Err())
			}
			k.mix(&k.mem[m], count, &k.mem[(m+k.space-1)%k.space], &k.mem[m])
			count++
			for range neighbours {
				k.mix(&k.mem[m], count+1, &k.mem[m], &k.mem[k.places[next]])
				count += 2
				next++
			}
		}
	}
	copy(k.last[:8], k.mem[k.space-1][:])
	st = initial()
	k.absorb(&st, &k.last)
	collect(&st, out)
	return nil
}
