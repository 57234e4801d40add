package api

import (
	"net/netip"
	"testing"
	"time"
)

// One address is bounded and another is not held up by it; a refused call says
// when to come back, and then it is let in.
func TestAddresses(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	a := newAddresses(10)
	a.now = func() time.Time { return now }
	at := func(ip string) time.Duration { return a.spend(network(netip.MustParseAddr(ip))) }
	for n := range 20 {
		if wait := at("192.0.2.1"); wait != 0 {
			t.Fatalf("call %d waits %s", n, wait)
		}
	}
	wait := at("192.0.2.1")
	if wait <= 0 || wait > 100*time.Millisecond {
		t.Fatalf("call 21 waits %s, want about 100ms", wait)
	}
	if at("::ffff:192.0.2.1") == 0 {
		t.Fatal("the same address, written as IPv6, is let in")
	}
	if at("192.0.2.2") != 0 {
		t.Fatal("another address is held up")
	}
	now = now.Add(wait)
	if at("192.0.2.1") != 0 {
		t.Fatal("held up after the time it was told")
	}
	for range 20 {
		at("2001:db8::1")
	}
	if at("2001:db8::ffff:2") == 0 {
		t.Fatal("one subscriber's second address is let in")
	}
	if at("2001:db8:0:1::1") != 0 {
		t.Fatal("another subscriber is held up")
	}
	// Strangers in any number do not fill the memory, and forgive nobody.
	for range 20 {
		at("192.0.2.9")
	}
	for i := range maxAddresses + 10 {
		a.spend(network(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})))
	}
	if at("192.0.2.9") == 0 {
		t.Fatal("a flood of addresses forgave one that had used up its calls")
	}
	now = now.Add(3 * time.Second)
	a.spend(network(netip.MustParseAddr("203.0.113.1")))
	if len(a.m) > 2 {
		t.Fatalf("%d allowances kept", len(a.m))
	}
}
