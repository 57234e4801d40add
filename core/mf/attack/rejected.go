package attack

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"strings"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/sm"
)

// The two designs below were considered and rejected. They are built here as
// published schemes build them, with salts and one honest slow KDF, so that
// the search below breaks the structure and not a careless detail.

// shamir is k-of-n by Shamir's scheme over GF(2^61−1): each share is masked
// with a fast hash of its factor, and one slow KDF of the shared secret at the
// end makes the key, of which check is a hash.
type shamir struct {
	k      int
	labels []string
	salt   [32]byte
	masked map[string]uint64
	check  [32]byte
}

const prime = 1<<61 - 1

func mulmod(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	// 2^61 = 1 modulo the prime.
	return (lo&prime + (lo>>61 | hi<<3)) % prime
}

func submod(a, b uint64) uint64 { return (a + prime - b) % prime }

func invmod(a uint64) uint64 {
	r, e := uint64(1), uint64(prime-2)
	for ; e > 0; e >>= 1 {
		if e&1 == 1 {
			r = mulmod(r, a)
		}
		a = mulmod(a, a)
	}
	return r
}

// mask is the fast hash of one factor value.
func (s *shamir) mask(label string, v int) uint64 {
	h := sm.HMAC(s.salt[:], enc.Join(enc.Str(label), guess(label, v)))
	return binary.BigEndian.Uint64(h[:]) % prime
}

// at evaluates the polynomial through the points (xs, ys) at x.
func at(xs, ys []uint64, x uint64) uint64 {
	var sum uint64
	for i := range xs {
		num, den := uint64(1), uint64(1)
		for j := range xs {
			if j != i {
				num = mulmod(num, submod(x, xs[j]))
				den = mulmod(den, submod(xs[i], xs[j]))
			}
		}
		sum = (sum + mulmod(ys[i], mulmod(num, invmod(den)))) % prime
	}
	return sum
}

func (s *shamir) key(ctx context.Context, kdf *counter, shared uint64) ([32]byte, error) {
	var out [32]byte
	err := kdf.Derive(ctx, core.NewParams("counted"), enc.U64(shared), s.salt[:], out[:])
	return sm.SM3(out[:]), err
}

func newShamir(ctx context.Context, rand io.Reader, kdf *counter, k int, labels []string, values map[string]int) (*shamir, error) {
	s := &shamir{k: k, labels: labels, masked: map[string]uint64{}}
	raw := make([]byte, 32+8*k)
	if _, err := io.ReadFull(rand, raw); err != nil {
		return nil, core.Errorf(core.Internal, "attack", "read random bytes: %w", err)
	}
	copy(s.salt[:], raw)
	var err error
	coef := make([]uint64, k)
	for i := range coef {
		coef[i] = binary.BigEndian.Uint64(raw[32+8*i:]) % prime
	}
	for i, l := range labels {
		var y uint64
		for j := k - 1; j >= 0; j-- {
			y = (mulmod(y, uint64(i+1)) + coef[j]) % prime
		}
		s.masked[l] = (y + s.mask(l, values[l])) % prime
	}
	s.check, err = s.key(ctx, kdf, coef[0])
	return s, err
}

// breakShamir uses that k+1 shares check each other: any k guessed shares fix
// the polynomial and so the next factor's share, which a table of that
// factor's guesses answers at once. No slow call is needed until the end. With
// k = 1 this is a plain collision of two lists.
func breakShamir(ctx context.Context, rand io.Reader, k int, labels ...string) (Case, error) {
	kdf := &counter{}
	values, err := pick(rand, labels)
	if err != nil {
		return Case{}, err
	}
	s, err := newShamir(ctx, rand, kdf, k, labels, values)
	if err != nil {
		return Case{}, err
	}
	kdf.calls.Store(0)
	base, extra := labels[:k], labels[k]
	c := Case{Policy: fmt.Sprintf("%d of (%s)", k, strings.Join(labels, ", ")), Design: DesignShamir, Attacker: "S+D", Candidates: size(base)}
	for _, l := range labels { // the cheapest set in fairness to the design
		if k == 1 {
			c.Candidates = min(c.Candidates, int64(spaces[l]))
		}
	}
	shares := map[string][]uint64{}
	for _, l := range labels {
		for v := range spaces[l] {
			shares[l] = append(shares[l], submod(s.masked[l], s.mask(l, v)))
			c.FastOps++
		}
	}
	table := map[uint64]int{}
	for v, y := range shares[extra] {
		table[y] = v
	}
	xs := make([]uint64, k)
	for i := range xs {
		xs[i] = uint64(i + 1)
	}
	err = each(base, func(guessed map[string]int) error {
		ys := make([]uint64, k)
		for i, l := range base {
			ys[i] = shares[l][guessed[l]]
		}
		c.FastOps++
		if _, hit := table[at(xs, ys, uint64(k+1))]; !hit {
			return nil
		}
		got, err := s.key(ctx, kdf, at(xs, ys, 0))
		if err == nil && got == s.check {
			c.Found = true
			for _, l := range base {
				c.Found = c.Found && guessed[l] == values[l]
			}
		}
		return err
	})
	c.SlowCalls = kdf.calls.Load()
	c.Words = fmt.Sprintf("%d shares check each other, so guesses are tested without the KDF; it confirms once", k+1)
	return c, err
}

// breakPerFactor is all(labels) with one slow KDF per factor and a fast hash
// joining the results: the slow calls of the factors add up in tables, and the
// product is searched at hash speed.
func breakPerFactor(ctx context.Context, rand io.Reader, labels ...string) (Case, error) {
	kdf := &counter{}
	values, err := pick(rand, labels)
	if err != nil {
		return Case{}, err
	}
	var salt [32]byte
	if _, err := io.ReadFull(rand, salt[:]); err != nil {
		return Case{}, core.Errorf(core.Internal, "attack", "read random bytes: %w", err)
	}
	slow := func(label string, v int) ([]byte, error) {
		var out [32]byte
		s := sm.HMAC(salt[:], enc.Str(label)) // a salt of its own for every factor
		err := kdf.Derive(ctx, core.NewParams("counted"), guess(label, v), s[:], out[:])
		return out[:], err
	}
	join := func(parts [][]byte) [32]byte { return sm.HMAC(salt[:], enc.Join(parts...)) }
	parts := make([][]byte, len(labels))
	for i, l := range labels {
		if parts[i], err = slow(l, values[l]); err != nil {
			return Case{}, err
		}
	}
	check := join(parts)
	kdf.calls.Store(0)

	c := Case{Policy: strings.Join(labels, " & "), Design: DesignPerFactor, Attacker: "S+D", Candidates: size(labels)}
	tables := make([][][]byte, len(labels))
	for i, l := range labels {
		for v := range spaces[l] {
			t, err := slow(l, v)
			if err != nil {
				return Case{}, err
			}
			tables[i] = append(tables[i], t)
		}
	}
	hits := 0
	err = each(labels, func(guessed map[string]int) error {
		for i, l := range labels {
			parts[i] = tables[i][guessed[l]]
		}
		c.FastOps++
		if join(parts) == check {
			hits++
		}
		return ctx.Err()
	})
	c.SlowCalls, c.Found = kdf.calls.Load(), hits == 1
	c.Words = "one table per factor: the slow calls add where they should multiply"
	return c, err
}
