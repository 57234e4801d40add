// Package codec is the canonical binary form of what travels inside a sealed
// call: docs/wire.md, section 4. What parses marshals back to the same bytes;
// everything else is refused before memory is taken for it.
//
// Every message is described once, by a function that packs and unpacks the
// same fields in the same order, so that the two directions cannot drift apart.
package codec

import (
	"fmt"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/protocol"
)

// Version is the first byte of every body.
const Version = 1

// Bounds of a body in bytes and of lists in items. The largest answer is a
// policy beside 4096 tries.
const (
	MaxRequest = 127 << 10
	MaxAnswer  = 160 << 10

	maxSince = 4096
	maxReads = 8
	maxText  = 255
)

// A Method names what is asked for. The list is append-only.
type Method uint8

// Methods, version 1.
const (
	Policy        Method = 1
	Fetch         Method = 2
	Evaluate      Method = 3
	Confirm       Method = 4
	Prepare       Method = 5
	Commit        Method = 6
	Status        Method = 7
	Unbind        Method = 8
	Deregister    Method = 9
	Challenge     Method = 10
	RecoverPolicy Method = 11
	Rebind        Method = 12
	Standing      Method = 13
	Attest        Method = 14
)

var names = [...]string{"unknown", "policy", "fetch", "evaluate", "confirm", "prepare", "commit", "status",
	"unbind", "deregister", "challenge", "recover-policy", "rebind", "standing", "attest"}

// Methods lists every method.
func Methods() []Method {
	out := make([]Method, 0, len(names)-1)
	for m := 1; m < len(names); m++ {
		out = append(out, Method(m))
	}
	return out
}

// String names the method.
func (m Method) String() string {
	if int(m) < len(names) {
		return names[m]
	}
	return fmt.Sprintf("method-%d", uint8(m))
}

// A coder packs when p is set, else unpacks.
type coder struct {
	p   *enc.Packer
	u   *enc.Unpacker
	why string // what breaks a rule; first one sticks
}

func (c *coder) packing() bool { return c.p != nil }

// fail notes that a field breaks its rule.
func (c *coder) fail(why string) {
	if c.why == "" {
		c.why = why
	}
}

func (c *coder) u8(v *uint8) {
	if c.packing() {
		c.p.U8(*v)
	} else {
		*v = c.u.U8()
	}
}

func (c *coder) u32(v *uint32) {
	if c.packing() {
		c.p.U32(*v)
	} else {
		*v = c.u.U32()
	}
}

func (c *coder) u64(v *uint64) {
	if c.packing() {
		c.p.U64(*v)
	} else {
		*v = c.u.U64()
	}
}

// when is a time in Unix seconds or a span in nanoseconds, not negative.
func (c *coder) when(v *int64) {
	w := uint64(*v)
	c.u64(&w)
	*v = int64(w)
	if *v < 0 {
		c.fail("a time is negative")
	}
}

func (c *coder) flag(v *bool) {
	if c.packing() {
		c.p.Flag(*v)
	} else {
		*v = c.u.Flag()
	}
}

func (c *coder) raw(v []byte) {
	if c.packing() {
		c.p.Raw(v)
	} else {
		c.u.Raw(v)
	}
}

// id is 16 bytes that are not all zero.
func (c *coder) id(v *protocol.ID, what string) {
	c.raw(v[:])
	if v.IsZero() {
		c.fail("the " + what + " id is zero")
	}
}

// bytes is a length and as many bytes, most at most.
func (c *coder) bytes(v *[]byte, most int, what string) {
	if len(*v) > most {
		c.fail(fmt.Sprintf("the %s has %d bytes, at most %d", what, len(*v), most))
		return
	}
	if c.packing() {
		c.p.Var(*v)
	} else {
		*v = c.u.Var(most)
	}
}

// exactly is a byte string that is empty or of one length.
func (c *coder) exactly(v *[]byte, n int, what string) {
	c.bytes(v, n, what)
	if len(*v) != 0 && len(*v) != n {
		c.fail(fmt.Sprintf("the %s has %d bytes, want 0 or %d", what, len(*v), n))
	}
}

func (c *coder) text(v *string, most int, what string) {
	b := []byte(*v)
	c.bytes(&b, most, what)
	*v = string(b)
}

// count is the length of a list, most at most.
func (c *coder) count(n *int, most int, what string) {
	if *n > most {
		c.fail(fmt.Sprintf("%d %s, at most %d", *n, what, most))
		return
	}
	if c.packing() {
		c.p.U16(uint16(*n))
		return
	}
	if *n = int(c.u.U16()); *n > most {
		*n = 0
		c.fail(fmt.Sprintf("more than %d %s", most, what))
	}
}

// list codes the items of a list after its count.
func list[T any](c *coder, v *[]T, most int, what string, item func(*T)) {
	n := len(*v)
	c.count(&n, most, what)
	if c.why != "" {
		return
	}
	if !c.packing() {
		*v = nil
		if n > 0 {
			*v = make([]T, n)
		}
	}
	for i := range *v {
		item(&(*v)[i])
	}
}

// pack appends what describe packs to head in a buffer of size bytes, which
// never grows, so that no copy of a dealt key is left behind.
func pack(op string, head []byte, size, most int, describe func(*coder)) ([]byte, error) {
	c := &coder{p: &enc.Packer{B: append(make([]byte, 0, len(head)+size), head...)}}
	describe(c)
	if c.why != "" {
		return nil, core.Errorf(core.Invalid, op, "%s", c.why)
	}
	if len(c.p.B) > most {
		return nil, core.Errorf(core.TooLarge, op, "%d bytes, at most %d", len(c.p.B), most)
	}
	return c.p.B, nil
}

// unpack reads all of b.
func unpack(op string, b []byte, describe func(*coder)) error {
	c := &coder{u: enc.NewUnpacker(b)}
	describe(c)
	if c.why != "" {
		return core.Errorf(core.Invalid, op, "%s", c.why)
	}
	if !c.u.Done() {
		return core.Errorf(core.Invalid, op, "the message is not canonical: short, long or out of bounds")
	}
	return nil
}
