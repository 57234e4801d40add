package sm

import (
	"runtime"
	"sync"
)

// A gathering collects what goroutines ask for at the same moment, so that
// lanes are filled: the first one lets those run who are ready to, once, and
// runs what came for all.
type gathering[T any] struct {
	run  func([]T)
	mu   sync.Mutex
	open *round[T]
}

// A round is run by the goroutine that began it; done is closed then.
type round[T any] struct {
	all  []T
	done chan struct{}
}

// do returns when run has had the items.
func (g *gathering[T]) do(items ...T) {
	g.mu.Lock()
	if r := g.open; r != nil {
		r.all = append(r.all, items...)
		g.mu.Unlock()
		<-r.done
		return
	}
	r := &round[T]{all: items[:len(items):len(items)], done: make(chan struct{})}
	g.open = r
	g.mu.Unlock()
	runtime.Gosched()
	g.mu.Lock()
	g.open = nil
	g.mu.Unlock()
	defer close(r.done)
	g.run(r.all)
}
