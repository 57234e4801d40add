package quickstart

import (
	"context"
	"sync"

	"github.com/keposs/keposs/cmd/keposs/internal/needle"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
)

// witness remembers, until wiped, what was entered at enrolment, so that the
// disks can be searched for it. It changes nothing on the way.
type witness struct {
	mu   sync.Mutex
	to   core.Prompter
	seen map[string]*secret.Buffer // by label, the last entry
}

// Ask implements core.Prompter.
func (w *witness) Ask(ctx context.Context, q core.Prompt) (core.Sample, error) {
	w.mu.Lock()
	to := w.to
	w.mu.Unlock()
	s, err := to.Ask(ctx, q)
	if err != nil || q.Purpose != core.PurposeEnroll {
		return s, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen == nil {
		w.seen = map[string]*secret.Buffer{}
	}
	w.seen[q.Label].Wipe()
	w.seen[q.Label] = s.Data.Clone()
	return s, nil
}

// pass lets another answer until the function returned is called.
func (w *witness) pass(to core.Prompter) (back func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	was := w.to
	w.to = to
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.to = was
	}
}

// needles lends what was seen, to search for.
func (w *witness) needles() []needle.Needle {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []needle.Needle
	for label, b := range w.seen {
		out = append(out, needle.Needle{Name: "what was entered for " + label, Data: b.Bytes()})
	}
	return out
}

func (w *witness) wipe() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, b := range w.seen {
		b.Wipe()
	}
	clear(w.seen)
}
