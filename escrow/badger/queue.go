package badger

import (
	"context"
	"runtime"
	"sync"

	"github.com/keposs/keposs/core"
)

// A request is one caller waiting; an item one of its mutations.
type request struct {
	results []core.Result
	err     error
	left    int  // items without an answer; guarded by queue.mu
	taken   bool // some item left the queue; guarded by queue.mu
	gone    bool // the caller left before any was taken; guarded by queue.mu
	done    chan struct{}
}

type item struct {
	m    core.Mutation
	do   func(*batch) error // instead of m
	req  *request
	slot int
	size int
}

// A queue gathers items while the committer waits for the disk.
type queue struct {
	mu    sync.Mutex
	some  *sync.Cond
	items []item
	shutd bool
}

func (q *queue) init() { q.some = sync.NewCond(&q.mu) }

func (q *queue) shut() {
	q.mu.Lock()
	q.shutd = true
	q.mu.Unlock()
	q.some.Broadcast()
}

// run queues items and waits for their answers, or until ctx ends: then what
// was not taken is certainly not applied, what was taken may be.
func (q *queue) run(ctx context.Context, op string, r *request, items []item) ([]core.Result, error) {
	if len(items) == 0 {
		return r.results, nil
	}
	r.left = len(items)
	q.mu.Lock()
	q.items = append(q.items, items...)
	q.mu.Unlock()
	q.some.Signal()
	select {
	case <-r.done:
	case <-ctx.Done():
		q.mu.Lock()
		taken, left := r.taken, r.left
		r.gone = !taken
		q.mu.Unlock()
		if !taken {
			return nil, core.Errorf(core.Unavailable, op, "given up before it began: %w", ctx.Err())
		}
		if left > 0 {
			return nil, core.Errorf(core.Indeterminate, op, "given up while the disk was asked: %w", ctx.Err())
		}
		<-r.done
	}
	if r.err != nil {
		return nil, r.err
	}
	return r.results, nil
}

// take waits for items and returns as many as fit, or nil when shut and empty.
func (q *queue) take(maxItems, maxBytes int) []item {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		for len(q.items) == 0 && !q.shutd {
			q.some.Wait()
		}
		q.gather()
		live := q.items[:0]
		for _, it := range q.items {
			if !it.req.gone {
				live = append(live, it)
			}
		}
		clear(q.items[len(live):])
		q.items = live
		if len(live) > 0 {
			break
		}
		if q.shutd {
			return nil
		}
	}
	n, bytes := 0, 0
	for n < len(q.items) && n < maxItems && (n == 0 || bytes+q.items[n].size <= maxBytes) {
		if q.items[n].do != nil && n > 0 {
			break // an import is a transaction's worth by itself
		}
		bytes += q.items[n].size
		q.items[n].req.taken = true
		n++
		if q.items[n-1].do != nil {
			break
		}
	}
	out := append([]item(nil), q.items[:n]...)
	rest := copy(q.items, q.items[n:])
	clear(q.items[rest:])
	q.items = q.items[:rest]
	return out
}

// turns is how often the committer gives way before one transaction.
const turns = 4

// gather gives others a turn to queue items: whoever is about to ask for a
// commit shares this one. Without it the callers just answered find the next
// sync begun, and two crowds take turns, each with a sync of its own and twice
// the wait. On a busy processor a sync costs more than the turns given away, on
// an idle one nobody takes them. It leaves and takes q.mu.
func (q *queue) gather() {
	for range turns {
		q.mu.Unlock()
		runtime.Gosched()
		q.mu.Lock()
	}
}

// finish hands out answers.
func (q *queue) finish(items []item, results []core.Result, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, it := range items {
		if err != nil {
			it.req.err = worse(it.req.err, err)
		} else {
			it.req.results[it.slot] = results[i]
		}
		if it.req.left--; it.req.left == 0 {
			close(it.req.done)
		}
	}
}

// worse keeps Indeterminate: a call of which one part may be applied may be
// applied. A refusal of a later part of a call whose earlier part is applied
// is that too.
func worse(a, b error) error {
	if a != nil && core.CodeOf(a) == core.Indeterminate {
		return a
	}
	return b
}
