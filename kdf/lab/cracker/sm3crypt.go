package cracker

import (
	"context"
	"encoding/binary"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/kdf/internal/sm3"
	"github.com/keposs/keposs/kdf/sm2kdf"
	"github.com/keposs/keposs/kdf/sm3crypt"
)

// crypt is sm3crypt in lanes: guesses of one length have one layout of every
// round's message, and there are only 2·3·7 layouts. Each stands as a padded
// message in all lanes, and a round writes the last sum into its hole.
type crypt struct {
	width, rounds int
	target        Target
	salt          []byte // of the text form
	layouts       [42]layout
}

// A layout is one round's message: text around 32 bytes of the last sum.
type layout struct {
	at     int // first byte of the sum
	blocks []block
}

// maxCrypt is the longest guess whose messages fit two blocks.
const maxCrypt = (119 - 32 - sm3crypt.MaxTextSalt) / 2

func newCrypt(width int, t Target) *crypt {
	r, _ := t.Params.Get("r")
	return &crypt{width: width, rounds: int(r), target: t, salt: sm3crypt.TextSalt(t.Salt)}
}

// cycle returns n bytes of h repeated.
func cycle(h [32]byte, n int) []byte {
	out := make([]byte, 0, n+32)
	for len(out) < n {
		out = append(out, h[:]...)
	}
	return out[:n]
}

// start computes what comes before the rounds: the first sum and the hashes of
// the repeated guess and salt, as long as those.
func (k *crypt) start(guess string) (sum [32]byte, p, s []byte) {
	var d sm3.Digest
	var w [8]uint32
	hash := func(parts ...[]byte) (h [32]byte) {
		d.Reset()
		for _, x := range parts {
			_, _ = d.Write(x)
		}
		d.Sum(&w)
		sm3.PutWords(h[:], &w)
		return h
	}
	pw := []byte(guess)
	sum = hash(pw, k.salt, pw)
	parts := [][]byte{pw, k.salt, cycle(sum, len(pw))}
	for n := len(pw); n > 0; n >>= 1 {
		if n&1 == 1 {
			parts = append(parts, sum[:])
		} else {
			parts = append(parts, pw)
		}
	}
	sum = hash(parts...)
	var many [][]byte
	for range pw {
		many = append(many, pw)
	}
	p = cycle(hash(many...), len(pw))
	many = many[:0]
	for range 16 + int(sum[0]) {
		many = append(many, k.salt)
	}
	return sum, p, cycle(hash(many...), len(k.salt))
}

// prepare writes lane's texts into all layouts.
func (k *crypt) prepare(lane int, p, s []byte) {
	var hole [32]byte
	for i := range k.layouts {
		var m []byte
		at := 0
		if i&1 == 1 {
			m = append(m, p...)
		} else {
			m = append(m, hole[:]...)
		}
		if i%3 != 0 {
			m = append(m, s...)
		}
		if i%7 != 0 {
			m = append(m, p...)
		}
		if i&1 == 1 {
			at = len(m)
			m = append(m, hole[:]...)
		} else {
			m = append(m, p...)
		}
		size := len(m)
		m = append(m, 0x80)
		for len(m)%64 != 56 {
			m = append(m, 0)
		}
		m = binary.BigEndian.AppendUint64(m, uint64(8*size))
		l := &k.layouts[i]
		if lane == 0 {
			l.at, l.blocks = at, make([]block, len(m)/64)
		}
		for j := range len(m) / 4 {
			l.blocks[j/16][j%16][lane] = binary.BigEndian.Uint32(m[4*j:])
		}
	}
}

// put writes the sums into the hole of all lanes.
func (l *layout) put(width int, sum *state) {
	word := func(i int) *[sm3.MaxLanes]uint32 { return &l.blocks[i/16][i%16] }
	first, cut := l.at/4, uint(8*(l.at%4))
	if cut == 0 {
		for i := range sum {
			*word(first + i) = sum[i]
		}
		return
	}
	head, tail := word(first), word(first+8)
	for lane := range width {
		head[lane] = head[lane]&^(1<<(32-cut)-1) | sum[0][lane]>>cut
		tail[lane] = tail[lane]&(1<<(32-cut)-1) | sum[7][lane]<<(32-cut)
	}
	for i := 1; i < 8; i++ {
		w, a, b := word(first+i), &sum[i-1], &sum[i]
		for lane := range width {
			w[lane] = a[lane]<<(32-cut) | b[lane]>>cut
		}
	}
}

func (k *crypt) run(ctx context.Context, guesses []string, out [][keyLen]byte) error {
	if len(guesses[0]) > maxCrypt {
		for l, g := range guesses {
			if err := k.target.KDF.Derive(ctx, k.target.Params, []byte(g), k.target.Salt, out[l][:]); err != nil {
				return err
			}
		}
		return nil
	}
	var sums state
	for l, g := range guesses {
		sum, p, s := k.start(g)
		k.prepare(l, p, s)
		for i := range sums {
			sums[i][l] = binary.BigEndian.Uint32(sum[4*i:])
		}
	}
	for i := range k.rounds {
		if i&1023 == 1023 && ctx.Err() != nil {
			return core.Errorf(core.Canceled, "cracker", "%w", ctx.Err())
		}
		l := &k.layouts[i%42]
		l.put(k.width, &sums)
		sums = initial()
		for b := range l.blocks {
			sm3.BlockLanes(k.width, (*[8][sm3.MaxLanes]uint32)(&sums), (*[16][sm3.MaxLanes]uint32)(&l.blocks[b]))
		}
	}
	collect(&sums, out)
	for l := range out {
		sm2kdf.Expand(out[l][:], out[l][:])
	}
	return nil
}
