package codec

import (
	"errors"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
)

// Bounds of an error's text; longer is cut.
const (
	MaxOp  = 128
	MaxMsg = 1024
)

// Sizes for which buffers are made at once: what else a message holds beside
// its variable parts stays below slack.
const slack = 1 << 10

// MarshalRequest returns version ‖ method ‖ message. v is a pointer to the
// method's request, which must keep its rules: Invalid, TooLarge. The result
// may hold an OPRF key; it is the caller's to wipe or to encrypt in place.
func MarshalRequest(m Method, v any) ([]byte, error) {
	op := "wire: " + m.String()
	size := slack
	switch r := v.(type) {
	case *protocol.PrepareRequest:
		size += len(r.Policy) + len(r.Sealed) + len(r.OPRFKey)
	case *protocol.AttestRequest:
		size += len(r.Token)
	}
	known := true
	b, err := pack(op, []byte{Version, byte(m)}, size, MaxRequest, func(c *coder) { known = fields(c, v) })
	if err == nil && !known {
		return nil, core.Errorf(core.Usage, op, "no such message")
	}
	return b, err
}

// ParseRequest reads what MarshalRequest made and returns a pointer to the
// method's request; its byte slices are copies. Errors: Unsupported for another
// version or an unknown method, Invalid.
func ParseRequest(b []byte) (m Method, v any, err error) {
	m, b, err = head(b, MaxRequest)
	if err != nil {
		return m, nil, err
	}
	op := "wire: " + m.String()
	if v = request(m); v == nil {
		return m, nil, core.Errorf(core.Unsupported, op, "this SS-CC does not know the method")
	}
	if err := unpack(op, b, func(c *coder) { fields(c, v) }); err != nil {
		return m, nil, err
	}
	return m, v, nil
}

func head(b []byte, most int) (Method, []byte, error) {
	if len(b) < 2 || len(b) > most {
		return 0, nil, core.Errorf(core.Invalid, "wire", "a body of %d bytes, want 2 to %d", len(b), most)
	}
	if b[0] != Version {
		return 0, nil, core.Errorf(core.Unsupported, "wire", "a body of version %d, want %d", b[0], Version)
	}
	return Method(b[1]), b[2:], nil
}

// Outcomes of an answer.
const (
	outcomeError byte = 0
	outcomeOK    byte = 1
)

// MarshalAnswer returns version ‖ method ‖ 1 ‖ message. v is a pointer to the
// method's answer.
func MarshalAnswer(m Method, v any) ([]byte, error) {
	op := "wire: " + m.String()
	size := slack
	switch r := v.(type) {
	case *protocol.PolicyAnswer:
		size += len(r.Policy) + 20*len(r.Tries.Since)
	case *protocol.FetchAnswer:
		size += len(r.Sealed) + 20*len(r.Tries.Since)
	case *protocol.EvaluateAnswer:
		size += len(r.Sealed) + 20*len(r.Tries.Since)
	}
	known := true
	b, err := pack(op, []byte{Version, byte(m), outcomeOK}, size, MaxAnswer, func(c *coder) { known = fields(c, v) })
	if err == nil && !known {
		return nil, core.Errorf(core.Usage, op, "no such message")
	}
	return b, err
}

// MarshalError returns version ‖ method ‖ 0 ‖ error. Causes stay on this side:
// only code, op, message and after travel. Codes outside the list are Internal.
func MarshalError(m Method, err error) []byte {
	e := Outward(err)
	b, _ := pack("wire", []byte{Version, byte(m), outcomeError}, slack+MaxMsg, MaxAnswer, func(c *coder) { fields(c, e) }) // Outward keeps every rule
	return b
}

// ParseAnswer reads the answer to a call of want: a pointer to the method's
// answer, or the peer's error. Errors of its own are Invalid and Unsupported
// with ok false; then the answer means nothing.
func ParseAnswer(want Method, b []byte) (v any, peer *core.Error, err error) {
	m, b, err := head(b, MaxAnswer)
	if err != nil {
		return nil, nil, err
	}
	op := "wire: " + m.String()
	if m != want || len(b) == 0 {
		return nil, nil, core.Errorf(core.Invalid, op, "not the answer to %s", want)
	}
	outcome, b := b[0], b[1:]
	switch outcome {
	case outcomeError:
		e := &core.Error{}
		if err := unpack(op, b, func(c *coder) { fields(c, e) }); err != nil {
			return nil, nil, err
		}
		return nil, e, nil
	case outcomeOK:
		if v = answer(m); v == nil {
			return nil, nil, core.Errorf(core.Unsupported, op, "no such method")
		}
		if err := unpack(op, b, func(c *coder) { fields(c, v) }); err != nil {
			return nil, nil, err
		}
		return v, nil, nil
	}
	return nil, nil, core.Errorf(core.Invalid, op, "outcome %d, want 0 or 1", outcome)
}

// failure is an error: code u32, op, message, after.
func (c *coder) failure(e *core.Error) {
	code := uint32(e.Code)
	c.u32(&code)
	e.Code = core.Code(code)
	if e.Code == core.Unknown {
		c.fail("an error without a code")
	}
	c.text(&e.Op, MaxOp, "op")
	c.text(&e.Msg, MaxMsg, "message")
	after := int64(e.After)
	c.when(&after)
	e.After = time.Duration(after)
}

// Outward is err as it may leave: code, op, message, after. A cause could name
// paths or tables of the operator's machine; it is left out.
func Outward(err error) *core.Error {
	out := &core.Error{Code: core.CodeOf(err)}
	if out.Code == core.Unknown || int(out.Code) > len(core.Codes()) {
		out.Code = core.Internal
	}
	var e *core.Error
	if errors.As(err, &e) {
		out.Op, out.Msg, out.After = Clean(e.Op, MaxOp), Clean(e.Msg, MaxMsg), max(e.After, 0)
	}
	return out
}

// Inward is a peer's error as it may be shown: what could disturb a terminal
// is taken out, codes of a newer list are Internal.
func Inward(e *core.Error) *core.Error {
	out := &core.Error{Code: e.Code, Op: Clean(e.Op, MaxOp), Msg: Clean(e.Msg, MaxMsg), After: max(e.After, 0)}
	if out.Code == core.Unknown || int(out.Code) > len(core.Codes()) {
		out.Code = core.Internal
	}
	return out
}

// Clean cuts s to limit bytes and drops what is not printable.
func Clean(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit]
		for len(s) > 0 && !utf8.ValidString(s) {
			s = s[:len(s)-1]
		}
	}
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
}
