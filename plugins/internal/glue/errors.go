// Package glue carries the contracts of core over the plugin protocol, once
// per interface and direction, so that an implementation works in-process and
// as a plugin process with no second code.
package glue

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/plugins/internal/wire"
)

// Bounds on the text of an error that crosses the border; longer is cut.
const (
	maxOp  = 128
	maxMsg = 1024
)

// table pairs each core code with the gRPC code a stranger's tool shows. Only
// the way out is one to one; the way back uses the detail where there is one.
var table = map[core.Code]codes.Code{
	core.Invalid:        codes.InvalidArgument,
	core.Unsupported:    codes.Unimplemented,
	core.TooLarge:       codes.OutOfRange,
	core.NotFound:       codes.NotFound,
	core.Conflict:       codes.Aborted,
	core.Exhausted:      codes.ResourceExhausted,
	core.Throttled:      codes.ResourceExhausted,
	core.Unavailable:    codes.Unavailable,
	core.Indeterminate:  codes.Unknown,
	core.Corrupt:        codes.DataLoss,
	core.Fenced:         codes.FailedPrecondition,
	core.Closed:         codes.FailedPrecondition,
	core.Auth:           codes.PermissionDenied,
	core.Locked:         codes.PermissionDenied,
	core.Policy:         codes.FailedPrecondition,
	core.State:          codes.FailedPrecondition,
	core.Environment:    codes.FailedPrecondition,
	core.Integrity:      codes.DataLoss,
	core.Refused:        codes.PermissionDenied,
	core.CaptureRefused: codes.FailedPrecondition,
	core.Canceled:       codes.Canceled,
	core.Timeout:        codes.DeadlineExceeded,
	core.Usage:          codes.InvalidArgument,
	core.Internal:       codes.Internal,
}

// bare is the reading of a status without our detail: from gRPC itself or
// from a plugin that sets only a code.
var bare = map[codes.Code]core.Code{
	codes.InvalidArgument:    core.Invalid,
	codes.Unimplemented:      core.Unsupported,
	codes.OutOfRange:         core.TooLarge,
	codes.ResourceExhausted:  core.TooLarge, // gRPC's answer to a message above the cap
	codes.NotFound:           core.NotFound,
	codes.Aborted:            core.Conflict,
	codes.AlreadyExists:      core.Conflict,
	codes.DataLoss:           core.Corrupt,
	codes.FailedPrecondition: core.State,
	codes.PermissionDenied:   core.Refused,
	codes.Unauthenticated:    core.Refused,
	codes.Canceled:           core.Canceled,
	codes.DeadlineExceeded:   core.Timeout,
	codes.Unavailable:        core.Unavailable,
}

// errorOut is err as a message; nil for nil. Causes stay on this side, their
// text goes along.
func errorOut(err error) *wire.Error {
	if err == nil {
		return nil
	}
	out := &wire.Error{Code: uint32(codeOf(err))}
	var e *core.Error
	if !errors.As(err, &e) {
		out.Msg = clean(err.Error(), maxMsg)
		return out
	}
	out.Op, out.Current, out.AfterNs = clean(e.Op, maxOp), uint64(e.Current), int64(e.After)
	out.Msg = e.Msg
	if e.Err != nil {
		if out.Msg != "" {
			out.Msg += ": "
		}
		out.Msg += e.Err.Error()
	}
	out.Msg = clean(out.Msg, maxMsg)
	return out
}

// codeOf is core.CodeOf that also knows the context's two errors.
func codeOf(err error) core.Code {
	c := core.CodeOf(err)
	if c == core.Internal {
		switch {
		case errors.Is(err, context.Canceled):
			return core.Canceled
		case errors.Is(err, context.DeadlineExceeded):
			return core.Timeout
		}
	}
	return c
}

// errorIn reads a peer's error. Codes of a newer list or 0 are Internal.
func errorIn(e *wire.Error) *core.Error {
	if e == nil {
		return nil
	}
	c := core.Code(e.Code)
	if _, known := table[c]; !known {
		c = core.Internal
	}
	after := time.Duration(e.AfterNs)
	if after < 0 {
		after = 0
	}
	return &core.Error{Code: c, Op: clean(e.Op, maxOp), Msg: clean(e.Msg, maxMsg), Current: core.Version(e.Current), After: after}
}

// clean cuts s and takes out what could disturb a terminal or a log.
func clean(s string, limit int) string {
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

// statusOut is err as a gRPC status with the error as its detail.
func statusOut(err error) error {
	if err == nil {
		return nil
	}
	m := errorOut(err)
	code, ok := table[core.Code(m.Code)]
	if !ok {
		code = codes.Internal
	}
	s, derr := status.New(code, m.Msg).WithDetails(m)
	if derr != nil {
		return status.Error(code, m.Msg)
	}
	return s.Err()
}

// effect tells what a broken call may have left behind.
type effect bool

const (
	reads  effect = false // nothing changed: a broken call is Unavailable
	writes effect = true  // may have been applied: a broken call is Indeterminate
)

// statusIn reads the error of a call made with ctx. The caller's own
// cancellation wins over what the transport made of it.
func statusIn(ctx context.Context, op string, err error, e effect) error {
	if err == nil {
		return nil
	}
	s, ok := status.FromError(err)
	if !ok {
		return core.Errorf(core.Internal, op, "%w", err)
	}
	for _, d := range s.Details() {
		if m, ok := d.(*wire.Error); ok {
			in := errorIn(m)
			if cause := over(ctx); cause != nil && (in.Code == core.Canceled || in.Code == core.Timeout) {
				in.Msg, in.Err = "", cause
				if e == writes { // the plugin says it stopped, not where
					in.Code = core.Indeterminate
				}
			}
			return in
		}
	}
	if cause := over(ctx); cause != nil {
		if e == writes {
			return core.Errorf(core.Indeterminate, op, "%w", cause)
		}
		return contextError(op, cause)
	}
	c, ok := bare[s.Code()]
	if !ok {
		c = core.Internal
	}
	if c == core.Canceled && s.Message() == closing {
		c = core.Unavailable
	}
	if e == writes && (c == core.Unavailable || c == core.Timeout || c == core.Canceled || c == core.Internal) {
		c = core.Indeterminate
	}
	return &core.Error{Code: c, Op: op, Msg: clean(s.Message(), maxMsg)}
}

// over is ctx's error, also in the moment between its deadline and the timer
// that says so: the plugin's own timer may be the faster one.
func over(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if d, ok := ctx.Deadline(); ok && !time.Now().Before(d) {
		return context.DeadlineExceeded
	}
	return nil
}

// closing is gRPC's word for a call on a connection this side has closed, which
// a supervisor also does as soon as it sees a crash.
const closing = "grpc: the client connection is closing"

// contextError gives a context's error its code and keeps it as the cause.
func contextError(op string, cause error) error {
	if errors.Is(cause, context.DeadlineExceeded) {
		return core.Errorf(core.Timeout, op, "%w", cause)
	}
	return core.Errorf(core.Canceled, op, "%w", cause)
}

// unary gives every unary handler of a plugin the table on its way out and
// turns a panic into Internal: one bad call must not end other users' calls.
func unary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (resp any, err error) {
	defer func() {
		if recover() != nil {
			resp, err = nil, statusOut(core.Errorf(core.Internal, "plugin", "the call panicked"))
		}
	}()
	resp, err = h(ctx, req)
	if err != nil {
		// Only a status made here: one inside a cause belongs to a backend's own client.
		if _, ok := err.(interface{ GRPCStatus() *status.Status }); !ok {
			err = statusOut(err)
		}
	}
	return resp, err
}
