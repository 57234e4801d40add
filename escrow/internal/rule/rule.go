// Package rule decides what a mutation does to a key: the compare-and-set
// semantics every backend of keposs shares, in one place and without any I/O.
//
// The engines differ only in how they make the decision atomic and durable.
// Version arithmetic and idempotency are those of core.Backend: versions never
// repeat, a tombstone keeps its version, and a repeated ReqID gets the answer
// it got before.
package rule

import (
	"bytes"
	"math"

	"github.com/keposs/keposs/core"
)

// MaxVersion is the largest version a key may reach: engines keep it in a
// signed 64-bit column.
const MaxVersion = core.Version(math.MaxInt64)

// A State is what an engine knows of one key. The zero State is a key never seen.
type State struct {
	Version core.Version
	Deleted bool
	ReqID   core.ReqID
	Hot     []byte
	// Blob is asked for only when a repeated request must be compared, so that
	// an engine need not read it on the hot path.
	Blob func() ([]byte, error)
}

// Present reports whether the key holds a record.
func (s State) Present() bool { return s.Version > 0 && !s.Deleted }

// Decide says what m does to a key in state s. write tells whether the engine
// has to store version res.Version; without it the key stays as it is, be it
// that m is refused (res.Err set) or a repetition (res.Err nil). m has passed
// Check.
func Decide(s State, m core.Mutation) (res core.Result, write bool) {
	const op = "escrow: commit"
	if s.Version > 0 && m.ReqID != (core.ReqID{}) && m.ReqID == s.ReqID {
		same, err := repeats(s, m)
		switch {
		case err != nil:
			return core.Result{Err: err}, false
		case !same:
			return core.Result{Err: core.Errorf(core.Invalid, op, "request id repeated with other content; draw a fresh one for a new request")}, false
		}
		return core.Result{Version: s.Version}, false
	}
	if m.Op == core.OpPut && m.Expect == 0 {
		if s.Present() {
			return conflict(s.Version), false
		}
	} else {
		if !s.Present() {
			return core.Result{Err: &core.Error{Code: core.NotFound, Op: op, Msg: "no such record", Current: s.Version}}, false
		}
		if m.Expect != s.Version {
			return conflict(s.Version), false
		}
	}
	if s.Version >= MaxVersion {
		return core.Result{Err: core.Errorf(core.Exhausted, op, "versions of this key are used up")}, false
	}
	return core.Result{Version: s.Version + 1}, true
}

func conflict(current core.Version) core.Result {
	return core.Result{Err: &core.Error{
		Code: core.Conflict, Op: "escrow: commit",
		Msg: "the record is at another version; read it again", Current: current,
	}}
}

// repeats compares m with the mutation that made s.
func repeats(s State, m core.Mutation) (bool, error) {
	if (m.Op == core.OpDelete) != s.Deleted {
		return false, nil
	}
	if m.Expect != s.Version-1 && (m.Op != core.OpPut || m.Expect != 0) {
		return false, nil
	}
	if m.Op == core.OpDelete {
		return true, nil
	}
	if !bytes.Equal(m.Hot, s.Hot) {
		return false, nil
	}
	if m.Op == core.OpPutHot {
		return true, nil
	}
	blob, err := s.Blob()
	if err != nil {
		return false, err
	}
	return bytes.Equal(m.Blob, blob), nil
}
