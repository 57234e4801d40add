package core

import (
	"errors"
	"fmt"
	"time"
)

// Code says what kind of failure an Error is. The list is append-only and its
// numbers are part of the wire, version 1: a code survives every RPC of keposs.
// A Code is itself an error, so that callers write errors.Is(err, core.Locked).
type Code uint32

// The one list. The zero value is Unknown; it is never produced on purpose and
// a peer that sends it is treated as having sent Internal.
const (
	Unknown        Code = iota
	Invalid             // an argument or input breaks its rule; nothing was done
	Unsupported         // a known thing this build or version does not do
	TooLarge            // above a stated bound, refused before allocation
	NotFound            // no such record, factor, plugin, file
	Conflict            // compare-and-set lost; Current tells the version to expect
	Exhausted           // space or quota used up; the operator must act
	Throttled           // too many requests; try again after After
	Unavailable         // certainly not applied; safe to retry
	Indeterminate       // may have been applied; retry only with the same request id
	Corrupt             // stored bytes fail their check
	Fenced              // a newer owner holds the fence
	Closed              // used after Close
	Auth                // some factor was wrong; never which
	Locked              // the tries are used up; an administrator unlocks
	Policy              // the policy breaks a rule or its integrity
	State               // the service is not allowed in this state
	Environment         // a probe refused the environment
	Integrity           // module, plugin or record is not what was signed
	Refused             // the peer refused; uniform, tells nothing more
	CaptureRefused      // the sample is too poor: ask again, no try is counted
	Canceled            // the person or the caller gave up
	Timeout             // a deadline passed before anything was sent
	Usage               // the call is wrong whatever the data
	Internal            // a defect of keposs
	codeEnd
)

var codeNames = [codeEnd]string{
	"unknown", "invalid", "unsupported", "too-large", "not-found", "conflict",
	"exhausted", "throttled", "unavailable", "indeterminate", "corrupt", "fenced",
	"closed", "auth", "locked", "policy", "state", "environment", "integrity",
	"refused", "capture-refused", "canceled", "timeout", "usage", "internal",
}

// String returns the stable lower-case name, as it stands on the wire and in --json.
func (c Code) String() string {
	if c < codeEnd {
		return codeNames[c]
	}
	return fmt.Sprintf("code-%d", uint32(c))
}

// Error makes a Code usable as the target of errors.Is.
func (c Code) Error() string { return c.String() }

// Codes returns every code but Unknown, in order: for tables, tests and docs.
func Codes() []Code {
	out := make([]Code, 0, codeEnd-1)
	for c := Unknown + 1; c < codeEnd; c++ {
		out = append(out, c)
	}
	return out
}

// ParseCode is the inverse of String; ok is false for a name not in the list.
func ParseCode(name string) (c Code, ok bool) {
	for c := Unknown + 1; c < codeEnd; c++ {
		if codeNames[c] == name {
			return c, true
		}
	}
	return Unknown, false
}

// An Error is what every contract of core returns. It never holds a secret.
type Error struct {
	Code    Code
	Op      string        // package and operation, "pin: enroll"
	Msg     string        // what failed, with what, what to do; lower case
	Current Version       // with Conflict: the present version; with NotFound: the last tombstone's
	After   time.Duration // with Throttled and Locked: when to come back, 0 if unknown
	Err     error         // cause; does not cross a process border
}

// Error formats as "op: msg: cause"; empty parts are left out.
func (e *Error) Error() string {
	s := e.Op
	join := func(part string) {
		if part == "" {
			return
		}
		if s != "" {
			s += ": "
		}
		s += part
	}
	join(e.Msg)
	if e.Msg == "" && e.Err == nil {
		join(e.Code.String())
	}
	if e.Err != nil {
		join(e.Err.Error())
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is this error's Code.
func (e *Error) Is(target error) bool {
	c, ok := target.(Code)
	return ok && c == e.Code
}

// Errorf builds an Error. A %w verb in format sets the cause's chain as
// fmt.Errorf does, so that errors.Is sees through it.
func Errorf(c Code, op, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	if errors.Unwrap(err) == nil {
		return &Error{Code: c, Op: op, Msg: err.Error()}
	}
	return &Error{Code: c, Op: op, Err: err}
}

// CodeOf finds the Code of err: the outermost *Error's, or that of a bare Code.
// It is Unknown for nil and Internal for an error of another kind.
func CodeOf(err error) Code {
	if err == nil {
		return Unknown
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	var c Code
	if errors.As(err, &c) {
		return c
	}
	return Internal
}
