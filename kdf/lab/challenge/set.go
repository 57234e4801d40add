package challenge

import (
	"context"
	"fmt"
	"io"

	"github.com/keposs/keposs/core"
)

// Schema names the form of a Set.
const Schema = "keposs-challenge-1"

// An Item is one challenge with what is known of its factor.
type Item struct {
	Factor string `json:"factor"`
	Text   string `json:"text"`
	Crypt  string `json:"crypt,omitempty"` // the same factor as crypt(3) knows it
}

// A Set is what is published.
type Set struct {
	Schema  string   `json:"schema"`
	Warning string   `json:"warning"`
	Items   []Item   `json:"items"`
	Records []Record `json:"records"`
}

// Answers are the factors, in the order of items, then of records. Whoever
// publishes a set keeps them to himself or, better, has none.
type Answers struct {
	Schema  string   `json:"schema"`
	Items   []string `json:"items"`
	Records []string `json:"records"`
}

// Defaults are the costs of a set: from worthless through toy to the floors.
func Defaults() []core.Params {
	p := func(name string, v ...core.Param) core.Params { return core.NewParams(name, v...) }
	n := func(key string, n uint64) core.Param { return core.Param{Key: key, N: n} }
	return []core.Params{
		p("sm2kdf"), p("pbkdf2sm3", n("i", 1024)), p("pbkdf2sm3", n("i", 600_000)), p("pbkdf2sm3", n("i", 75_000), n("w", 8)),
		p("hybrid", n("i", 300_000), n("m", 19456), n("p", 1), n("t", 2)), p("argon2id", n("m", 19456), n("p", 1), n("t", 2)),
		p("scrypt", n("ln", 15), n("p", 1), n("r", 8)), p("bcrypt", n("c", 10)), p("sm3crypt", n("r", 5000)),
	}
}

// maxCosts bounds a set.
const maxCosts = 64

// digits are the PIN lengths of each cost.
var digits = []int{4, 6}

// Make draws a set: for each cost a PIN of 4 and one of 6 digits, uniform, and
// one sealed record of 6 digits.
func Make(ctx context.Context, costs []core.Params, rand io.Reader) (*Set, *Answers, error) {
	if len(costs) == 0 || len(costs) > maxCosts {
		return nil, nil, core.Errorf(core.Invalid, "challenge: make", "%d costs, want 1 to %d", len(costs), maxCosts)
	}
	s := &Set{Schema: Schema, Warning: "test material: random PINs, keys that protect nothing"}
	a := &Answers{Schema: Schema + "-answers"}
	for _, p := range costs {
		for _, n := range digits {
			pin, err := draw(n, rand)
			if err != nil {
				return nil, nil, err
			}
			salt := make([]byte, 32)
			if _, err := io.ReadFull(rand, salt); err != nil {
				return nil, nil, core.Errorf(core.Internal, "challenge: make", "read random bytes: %w", err)
			}
			c, err := New(ctx, p, []byte(pin), salt)
			if err != nil {
				return nil, nil, err
			}
			crypt, err := Crypt(ctx, p, []byte(pin), salt)
			if err != nil {
				return nil, nil, err
			}
			s.Items = append(s.Items, Item{factorText(n), c.String(), crypt})
			a.Items = append(a.Items, pin)
		}
		pin, err := draw(6, rand)
		if err != nil {
			return nil, nil, err
		}
		r, err := Seal(ctx, p, []byte(pin), factorText(6), rand)
		if err != nil {
			return nil, nil, err
		}
		s.Records = append(s.Records, *r)
		a.Records = append(a.Records, pin)
	}
	return s, a, nil
}

func factorText(n int) string { return fmt.Sprintf("%d digits, uniform", n) }

// draw returns n uniform digits: bytes of 250 and more are thrown away.
func draw(n int, rand io.Reader) (string, error) {
	out := make([]byte, 0, n)
	var b [1]byte
	for len(out) < n {
		if _, err := io.ReadFull(rand, b[:]); err != nil {
			return "", core.Errorf(core.Internal, "challenge: draw", "read random bytes: %w", err)
		}
		if b[0] < 250 {
			out = append(out, '0'+b[0]%10)
		}
	}
	return string(out), nil
}
