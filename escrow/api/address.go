package api

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"google.golang.org/grpc/peer"

	"github.com/keposs/keposs/core"
)

// DefaultAddressRate is how many calls a second one address may make; many
// terminals may share one behind a carrier's gateway or a load balancer.
const DefaultAddressRate = 2000

const (
	addressBurst = 2       // seconds of the rate that may come at once
	maxAddresses = 1 << 16 // from here on full allowances are forgotten, which forgives nobody
)

// addresses bounds calls by where they come from, before anything of them is
// read: a token bucket for each IPv4 address and IPv6 /64. It shields this
// replica; what bounds guessing is durable and core/sscc's.
type addresses struct {
	rate  float64
	now   func() time.Time
	mu    sync.Mutex
	m     map[netip.Prefix]allowance
	swept time.Time
}

type allowance struct {
	left float64
	at   time.Time
}

func newAddresses(rate float64) *addresses {
	if rate == 0 {
		rate = DefaultAddressRate
	}
	return &addresses{rate: rate, now: time.Now, m: map[netip.Prefix]allowance{}}
}

// take counts one call; Throttled tells when to come back. What has no IP
// address is not bounded: it is of this machine.
func (a *addresses) take(ctx context.Context) error {
	from, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	tcp, ok := from.Addr.(*net.TCPAddr)
	if !ok {
		return nil
	}
	if wait := a.spend(network(tcp.AddrPort().Addr())); wait > 0 {
		return &core.Error{Code: core.Throttled, Op: "ss-cc", Msg: "too many calls from this address: try again later", After: wait}
	}
	return nil
}

// network is what shares an allowance: an IPv6 subscriber owns a whole /64.
func network(ip netip.Addr) netip.Prefix {
	ip = ip.Unmap().WithZone("")
	bits := 64
	if ip.Is4() {
		bits = 32
	}
	p, _ := ip.Prefix(bits) // bits fit the address
	return p
}

func (a *addresses) spend(k netip.Prefix) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	now, full := a.now(), max(a.rate*addressBurst, 1)
	b, known := a.m[k]
	if !known {
		a.forget(now)
		b = allowance{full, now}
	}
	if d := now.Sub(b.at); d > 0 {
		b.left = min(full, b.left+d.Seconds()*a.rate)
	}
	b.at = now
	wait := time.Duration(0)
	if b.left < 1 {
		wait = time.Duration((1 - b.left) / a.rate * float64(time.Second))
	} else {
		b.left--
	}
	a.m[k] = b
	return wait
}

// forget drops allowances left alone long enough to be full, at most once in
// that time.
func (a *addresses) forget(now time.Time) {
	full := addressBurst * time.Second
	if len(a.m) < maxAddresses || now.Sub(a.swept) <= full {
		return
	}
	a.swept = now
	for k, b := range a.m {
		if now.Sub(b.at) > full {
			delete(a.m, k)
		}
	}
}
