package prompt

import (
	"context"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/ppd/gesture"
)

// Synthetic makes up a person for demonstrations: one random PIN and one
// random gesture per label, drawn when first asked for and kept in secret
// buffers until Wipe. A refused draw is replaced by another. Safe for
// concurrent use.
type Synthetic struct {
	// Sensors gives the n-th sample, from 1, of kinds no person types: each
	// capture is a new one. Set it before the first prompt.
	Sensors map[core.SampleKind]func(n int) []byte

	mu    sync.Mutex
	shots int // samples taken by Sensors
	rand  io.Reader
	kept  map[string]*secret.Buffer
	wrong map[string]bool
}

var _ core.Prompter = (*Synthetic)(nil)

// NewSynthetic draws from rand, the module's DRBG.
func NewSynthetic(rand io.Reader) *Synthetic {
	return &Synthetic{rand: rand, kept: map[string]*secret.Buffer{}, wrong: map[string]bool{}}
}

// SetWrong makes the person answer label's prompts of a service with another
// PIN or gesture of the same form, until called with false.
func (s *Synthetic) SetWrong(label string, wrong bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wrong[label] = wrong
}

// Wipe forgets the person.
func (s *Synthetic) Wipe() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.kept {
		b.Wipe()
	}
	clear(s.kept)
}

// Ask implements core.Prompter.
func (s *Synthetic) Ask(ctx context.Context, q core.Prompt) (core.Sample, error) {
	const op = "synthetic person"
	if err := ctx.Err(); err != nil {
		return core.Sample{}, core.Errorf(core.Canceled, op, "%w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range q.Kinds {
		if take := s.Sensors[k]; take != nil {
			s.shots++
			return core.Sample{Kind: k, Model: "synthetic", Data: secret.Own(take(s.shots))}, nil
		}
	}
	i := slices.IndexFunc(q.Kinds, typed)
	if i < 0 {
		return core.Sample{}, core.Errorf(core.Unsupported, op, "%s: cannot make up %v", q.Label, q.Kinds)
	}
	b := s.kept[q.Label]
	if b == nil || q.Refusal != "" && q.Purpose == core.PurposeEnroll {
		fresh, err := s.draw(q.Kinds[i], q)
		if err != nil {
			return core.Sample{}, err
		}
		b.Wipe()
		s.kept[q.Label], b = fresh, fresh
	}
	if !s.wrong[q.Label] || q.Purpose != core.PurposeRecover {
		return core.Sample{Kind: q.Kinds[i], Model: "synthetic", Data: b.Clone()}, nil
	}
	for {
		other, err := s.draw(q.Kinds[i], q)
		if err != nil {
			return core.Sample{}, err
		}
		if !other.Equal(b) {
			return core.Sample{Kind: q.Kinds[i], Model: "synthetic", Data: other}, nil
		}
		other.Wipe()
	}
}

// syntheticPIN and syntheticDots are lengths that pass level 2 where they can.
const syntheticPIN, syntheticDots = 8, 7

// What a PIN is drawn from; the prompt's text tells which.
const (
	pinDigits = "0123456789"
	pinMixed  = pinDigits + "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

func (s *Synthetic) draw(kind core.SampleKind, q core.Prompt) (*secret.Buffer, error) {
	if kind == core.SamplePIN {
		n := max(syntheticPIN, q.MinLen)
		if q.MaxLen > 0 {
			n = min(n, q.MaxLen)
		}
		b := secret.New(n)
		set := pinDigits
		if strings.Contains(q.Text, "letters") {
			set = pinMixed
		}
		for i := range b.Bytes() {
			d, err := s.below(len(set))
			if err != nil {
				b.Wipe()
				return nil, err
			}
			b.Bytes()[i] = set[d]
		}
		return b, nil
	}
	grid := q.Grid
	if grid != 4 {
		grid = 3
	}
	want := min(max(syntheticDots, q.MinLen), grid*grid)
	p := make(gesture.Path, 0, grid*grid)
	defer p.Wipe()
	for len(p) < want {
		d, err := s.below(grid * grid)
		if err != nil {
			return nil, err
		}
		if next := gesture.Next(grid, p, uint8(d+1)); len(next) == 1 { // nothing in between
			p = append(p, next[0])
		}
	}
	return secret.Own(p.Text()), nil
}

// below draws 0..n-1 without bias, n ≤ 256.
func (s *Synthetic) below(n int) (int, error) {
	var b [1]byte
	defer clear(b[:])
	for {
		if _, err := io.ReadFull(s.rand, b[:]); err != nil {
			return 0, core.Errorf(core.Environment, "synthetic person", "random bytes: %w", err)
		}
		if v := int(b[0]); v < 256/n*n {
			return v % n, nil
		}
	}
}
