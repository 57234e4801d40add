package sm

import (
	"reflect"
	"runtime"

	"github.com/keposs/keposs/core/secret"
)

// Sizes of the stack around a secret computation. burnSize covers the deepest
// call below guarded (the 3 KiB table of a scalar multiplication, gmsm's
// frames and ours) twice over. padSize keeps more than a quarter of the
// stack in use, the runtime's condition for not moving it to a smaller one,
// which would leave the old stack behind uncleared.
const (
	burnSize = 8 << 10
	padSize  = 8 << 10
)

// guarded runs f and overwrites the stack and vector registers that f used. The stack is grown
// first, so that it does not move, leaving a copy, while f holds secrets.
// Variables of the caller that f fills are the caller's to wipe, and must not be
// on its stack when they are secret: that stack may move any time, and what it
// moved from is freed as it was. So a secret outside guarded is in a
// secret.Buffer, never in an array. A signal that arrives while f runs still saves the registers of that instant: docs/sm.md.
//
//go:noinline
func guarded(f func()) {
	var pad [padSize]byte
	burn()
	shielded(f)
	burn()
	secret.ClearVectors()
	runtime.KeepAlive(&pad)
}

//go:noinline
func burn() {
	var b [burnSize]byte
	clear(b[:])
	runtime.KeepAlive(&b)
}

// erase zeroes what state points to: hashes and block ciphers of gmsm, whose
// types are not exported and offer no wipe of their own. Their structs hold
// arrays only, so zeroing the struct zeroes the key.
func erase(state any) {
	reflect.ValueOf(state).Elem().SetZero()
	runtime.KeepAlive(state)
}

// Guard is for packages of core that compute on secrets in fixed arrays of
// their own: it runs f and overwrites the stack and the vector registers f
// used. What f allocates, and what it writes to variables of its caller, is
// the caller's to wipe. f must not keep more than 8 KiB of stack below it.
func Guard(f func()) { guarded(f) }
