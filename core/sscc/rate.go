package sscc

import (
	"sync"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
)

// rates are token buckets per app and device. They shield this replica from
// load; what bounds guessing is durable (hot.minute, hot.entries).
type rates struct {
	l   Limits
	now func() time.Time
	mu  sync.Mutex
	m   map[rateKey]*bucket
}

type rateKey struct {
	what byte
	id   protocol.ID
}

type bucket struct {
	level float64
	at    time.Time
}

const maxBuckets = 1 << 16 // beyond it full buckets are forgotten, which forgives nobody

func newRates(l Limits, now func() time.Time) *rates {
	return &rates{l: l, now: now, m: map[rateKey]*bucket{}}
}

// take counts one request against app and device; policy adds the device's
// allowance of uncounted reads. Throttled tells when to come back.
func (r *rates) take(p protocol.Peer, policy bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	wait := max(r.spend(rateKey{'a', p.App}, r.l.AppRate, now), r.spend(rateKey{'d', p.Device}, r.l.DeviceRate, now))
	if policy {
		wait = max(wait, r.spend(rateKey{'p', p.Device}, r.l.PolicyRate, now))
	}
	if wait > 0 {
		return &core.Error{Code: core.Throttled, Op: "sscc", Msg: "too many requests: try again later", After: wait}
	}
	return nil
}

func (r *rates) spend(k rateKey, rate float64, now time.Time) time.Duration {
	full := max(rate*r.l.Burst, 1)
	b := r.m[k]
	if b == nil {
		if len(r.m) >= maxBuckets {
			r.forget(now)
		}
		b = &bucket{level: full, at: now}
		r.m[k] = b
	}
	if d := now.Sub(b.at); d > 0 {
		b.level = min(full, b.level+d.Seconds()*rate)
	}
	b.at = now
	if b.level < 1 {
		return time.Duration((1 - b.level) / rate * float64(time.Second))
	}
	b.level--
	return 0
}

// forget drops buckets that have been left alone long enough to be full.
func (r *rates) forget(now time.Time) {
	for k, b := range r.m {
		if now.Sub(b.at) > time.Duration(r.l.Burst*float64(time.Second)) {
			delete(r.m, k)
		}
	}
}
