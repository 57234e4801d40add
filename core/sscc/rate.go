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
	// swept is when full buckets were last forgotten.
	swept time.Time
}

type rateKey struct {
	what byte
	id   protocol.ID
}

type bucket struct {
	level float64
	at    time.Time
}

const maxBuckets = 1 << 16 // from here on full buckets are forgotten, which forgives nobody

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
	return throttled(wait)
}

// exchange counts one key exchange begun in an enrolled device's name, apart
// from its requests: whoever knows the id cannot hold them up.
func (r *rates) exchange(device protocol.ID) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return throttled(r.spend(rateKey{'x', device}, r.l.PolicyRate, r.now()))
}

func throttled(wait time.Duration) error {
	if wait <= 0 {
		return nil
	}
	return &core.Error{Code: core.Throttled, Op: "sscc", Msg: "too many requests: try again later", After: wait}
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

// forget drops buckets that have been left alone long enough to be full, at
// most once in that time, so that many devices at once do not make it the work.
func (r *rates) forget(now time.Time) {
	full := time.Duration(r.l.Burst * float64(time.Second))
	if d := now.Sub(r.swept); d >= 0 && d <= full {
		return
	}
	r.swept = now
	for k, b := range r.m {
		if now.Sub(b.at) > full {
			delete(r.m, k)
		}
	}
}
