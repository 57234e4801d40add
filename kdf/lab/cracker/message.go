package cracker

import (
	"context"
	"encoding/binary"

	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/kdf/internal/sm3"
)

type (
	state [8][sm3.MaxLanes]uint32
	block [16][sm3.MaxLanes]uint32
)

// A message is one text in every lane with a hole for the guess: what does not
// depend on the guess is laid out once, so that a guess costs the few words it
// covers.
type message struct {
	at     int // first byte of the hole
	raw    []byte
	blocks []block
}

// newMessage pads prefix ‖ hole of n bytes ‖ suffix for SM3. before is the
// number of bytes hashed already, a multiple of 64.
func newMessage(prefix []byte, n int, suffix []byte, before int) *message {
	m := &message{at: len(prefix)}
	m.raw = append(append(append(m.raw, prefix...), make([]byte, n)...), suffix...)
	size := len(m.raw)
	m.raw = append(m.raw, 0x80)
	for len(m.raw)%64 != 56 {
		m.raw = append(m.raw, 0)
	}
	m.raw = binary.BigEndian.AppendUint64(m.raw, uint64(8*(before+size)))
	m.blocks = make([]block, len(m.raw)/64)
	for i := range len(m.raw) / 4 {
		for l := range sm3.MaxLanes {
			m.blocks[i/16][i%16][l] = binary.BigEndian.Uint32(m.raw[4*i:])
		}
	}
	return m
}

// put writes a guess into lane l.
func (m *message) put(l int, guess string) {
	copy(m.raw[m.at:], guess)
	for i := m.at / 4; 4*i < m.at+len(guess); i++ {
		m.blocks[i/16][i%16][l] = binary.BigEndian.Uint32(m.raw[4*i : 4*i+4])
	}
}

// hash absorbs all blocks into st.
func (m *message) hash(width int, st *state) {
	for i := range m.blocks {
		sm3.BlockLanes(width, (*[8][sm3.MaxLanes]uint32)(st), (*[16][sm3.MaxLanes]uint32)(&m.blocks[i]))
	}
}

func spread(words *[8]uint32) (st state) {
	for i, w := range words {
		for l := range st[i] {
			st[i][l] = w
		}
	}
	return st
}

var start = func() state {
	var iv [8]uint32
	sm3.IV(&iv)
	return spread(&iv)
}()

func initial() state { return start }

// collect writes the first lanes of st to out.
func collect(st *state, out [][keyLen]byte) {
	for l := range out {
		for i := range st {
			binary.BigEndian.PutUint32(out[l][4*i:], st[i][l])
		}
	}
}

// clause is the clause 5.4.3 KDF of enc(guess, salt): one compression a guess
// for a PIN and a salt of 32 bytes.
type clause struct {
	width int
	salt  []byte
	m     *message
	n     int
}

func (k *clause) run(_ context.Context, guesses []string, out [][keyLen]byte) error {
	if n := len(guesses[0]); k.m == nil || n != k.n {
		text := enc.Join(make([]byte, n), k.salt)
		k.m, k.n = newMessage(text[:8], n, append(text[8+n:], 0, 0, 0, 1), 0), n
	}
	for l, g := range guesses {
		k.m.put(l, g)
	}
	st := initial()
	k.m.hash(k.width, &st)
	collect(&st, out)
	return nil
}

// extract is HKDF: two compressions to extract, four to expand; the salt's
// states are computed once.
type extract struct {
	width        int
	inner, outer state
	m            *message
	n            int
	tail         block // a 32-byte message after one block
	one          *message
	pads         [2]block
}

func newExtract(width int, salt []byte) *extract {
	var key sm3.Key
	var d sm3.Digest
	key.Init(salt, &d)
	k := &extract{width: width, inner: spread(&key.Inner), outer: spread(&key.Outer), one: newMessage([]byte{1}, 0, nil, 64)}
	for l := range sm3.MaxLanes {
		k.tail[8][l], k.tail[15][l] = 0x80000000, 96*8
		for i := 8; i < 16; i++ {
			k.pads[0][i][l], k.pads[1][i][l] = 0x36363636, 0x5c5c5c5c
		}
	}
	return k
}

func (k *extract) finish(outer state, inner *state) state {
	copy(k.tail[:8], inner[:])
	sm3.BlockLanes(k.width, (*[8][sm3.MaxLanes]uint32)(&outer), (*[16][sm3.MaxLanes]uint32)(&k.tail))
	return outer
}

func (k *extract) run(_ context.Context, guesses []string, out [][keyLen]byte) error {
	if n := len(guesses[0]); k.m == nil || n != k.n {
		k.m, k.n = newMessage(nil, n, nil, 64), n
	}
	for l, g := range guesses {
		k.m.put(l, g)
	}
	st := k.inner
	k.m.hash(k.width, &st)
	prk := k.finish(k.outer, &st)
	var pad [2]state
	for p, c := range []uint32{0x36363636, 0x5c5c5c5c} {
		for i := range prk {
			for l := range k.width {
				k.pads[p][i][l] = prk[i][l] ^ c
			}
		}
		pad[p] = initial()
		sm3.BlockLanes(k.width, (*[8][sm3.MaxLanes]uint32)(&pad[p]), (*[16][sm3.MaxLanes]uint32)(&k.pads[p]))
	}
	k.one.hash(k.width, &pad[0])
	last := k.finish(pad[1], &pad[0])
	collect(&last, out)
	return nil
}
