package mstcc_test

import (
	"context"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/protocol"
)

// Every byte of what SS-CC serves is checked, with the code of docs/protocol.md,
// section 5: the policy and the keys beside it before anything is asked, the
// sealed keys after the try, which its Confirm forgives.
// req: X-25, K-15-02, X-12, G-7.9-08, X-16, K-7.2-D1
func TestServedBytes(t *testing.T) {
	x, m, _ := initialised(t)
	asked := 0
	spy := core.PrompterFunc(func(ctx context.Context, p core.Prompt) (core.Sample, error) {
		asked++
		return types("right").Ask(ctx, p)
	})
	sign := func() core.Code {
		_, _, err := m.Sign(ctx, []byte("m"), nil, mstcc.OpenOptions{}, spy)
		return core.CodeOf(err)
	}

	for i := range x.srv.rec.policy {
		x.srv.tamper = func(a *protocol.PolicyAnswer) { a.Policy[i] ^= 0x20 }
		if got := sign(); got != core.Policy {
			t.Errorf("policy, byte %d: %v, want policy", i, got)
		}
	}
	for i := range 2 * protocol.PointSize {
		x.srv.tamper = func(a *protocol.PolicyAnswer) {
			if i < protocol.PointSize {
				a.Pubs.Sign[i] ^= 1
			} else {
				a.Pubs.Enc[i-protocol.PointSize] ^= 1
			}
		}
		if got := sign(); got != core.Policy {
			t.Errorf("public keys, byte %d: %v, want policy", i, got)
		}
	}
	x.srv.tamper = nil
	if asked != 0 || x.srv.asked("fetch") != 0 {
		t.Fatalf("%d prompts and %d tries before the policy was refused", asked, x.srv.asked("fetch"))
	}

	good := x.srv.rec.sealed
	for i := range good {
		bad := append([]byte(nil), good...)
		bad[i] ^= 0x20
		x.srv.mu.Lock()
		x.srv.rec.sealed = bad
		x.srv.mu.Unlock()
		if got := sign(); got != core.Corrupt {
			t.Errorf("sealed keys, byte %d: %v, want corrupt", i, got)
		}
		if err := m.Close(); err != nil { // waits for the Confirm
			t.Fatal(err)
		}
		if n := len(x.srv.tries.Held); n != 0 {
			t.Fatalf("sealed keys, byte %d: %d tries stay counted", i, n)
		}
		m = x.open()
	}
	x.srv.rec.sealed = good
	if got := sign(); got != core.Unknown {
		t.Errorf("control: untouched: %v", got)
	}
}
