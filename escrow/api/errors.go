package api

import (
	"context"
	"errors"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/api/internal/codec"
	"github.com/keposs/keposs/escrow/api/internal/wire"
)

// statusCodes pairs each code with the gRPC code a stranger's tool shows. Only
// the way out is one to one; the way back reads the detail.
var statusCodes = map[core.Code]codes.Code{
	core.Invalid: codes.InvalidArgument, core.Unsupported: codes.Unimplemented, core.TooLarge: codes.OutOfRange,
	core.NotFound: codes.NotFound, core.Conflict: codes.Aborted, core.Exhausted: codes.ResourceExhausted,
	core.Throttled: codes.ResourceExhausted, core.Unavailable: codes.Unavailable, core.Indeterminate: codes.Unknown,
	core.Corrupt: codes.DataLoss, core.Fenced: codes.FailedPrecondition, core.Closed: codes.FailedPrecondition,
	core.Auth: codes.Unauthenticated, core.Locked: codes.PermissionDenied, core.Policy: codes.FailedPrecondition,
	core.State: codes.FailedPrecondition, core.Environment: codes.FailedPrecondition, core.Integrity: codes.DataLoss,
	core.Refused: codes.PermissionDenied, core.CaptureRefused: codes.FailedPrecondition, core.Canceled: codes.Canceled,
	core.Timeout: codes.DeadlineExceeded, core.Usage: codes.InvalidArgument, core.Internal: codes.Internal,
}

// ours gives a code to what is no error of core: the context's end, and what
// gRPC says when the peer of a stream is gone.
func ours(err error) error {
	if _, ok := err.(interface{ GRPCStatus() *status.Status }); ok {
		return core.Errorf(core.Canceled, "ss-cc", "the caller is gone")
	}
	if err == nil || core.CodeOf(err) != core.Internal {
		return err
	}
	switch {
	case errors.Is(err, context.Canceled):
		return core.Errorf(core.Canceled, "ss-cc", "the caller gave up")
	case errors.Is(err, context.DeadlineExceeded):
		return core.Errorf(core.Timeout, "ss-cc", "the call took too long")
	}
	return err
}

// statusOut is err as a gRPC status with code, op, message and after as its
// detail; causes stay here.
func statusOut(err error) error {
	if err == nil {
		return nil
	}
	e := codec.Outward(err)
	s := status.New(statusCodes[e.Code], e.Error())
	d, derr := s.WithDetails(&wire.Error{Code: uint32(e.Code), Op: e.Op, Msg: e.Msg, AfterNs: int64(e.After)})
	if derr != nil {
		return s.Err()
	}
	return d.Err()
}

// detail finds the error SS-CC attached to a status.
func detail(err error) *core.Error {
	s, ok := status.FromError(err)
	if !ok {
		return nil
	}
	for _, d := range s.Details() {
		if m, ok := d.(*wire.Error); ok {
			e := &core.Error{Code: core.Code(m.GetCode()), Op: m.GetOp(), Msg: m.GetMsg()}
			if m.GetAfterNs() > 0 {
				e.After = time.Duration(m.GetAfterNs())
			}
			return codec.Inward(e)
		}
	}
	return nil
}

// unapplied are the codes SS-CC gives a call outside its session before it has
// touched anything.
var unapplied = map[core.Code]bool{
	core.Invalid: true, core.Unsupported: true, core.TooLarge: true, core.Throttled: true,
	core.Unavailable: true, core.Auth: true, core.State: true, core.Refused: true,
}

// guard keeps a status of another code from a sealed call apart: nobody vouches
// that nothing was applied.
func guard(op string, err error) error {
	if e := detail(err); e != nil && !unapplied[e.Code] {
		return &core.Error{Code: core.Indeterminate, Op: op, Msg: "SS-CC failed: " + e.Error()}
	}
	return err
}

// callError reads the error of a call. sent tells whether any byte of the
// request may have left.
func callError(op string, err error, sent bool, endpoint string) *core.Error {
	if e := detail(err); e != nil {
		return e
	}
	s, _ := status.FromError(err)
	text := codec.Clean(s.Message(), codec.MaxMsg)
	switch {
	case s.Code() == codes.Unimplemented:
		return core.Errorf(core.Unsupported, op, "%s is no SS-CC of this version: %s", endpoint, text)
	case sent:
		return core.Errorf(core.Indeterminate, op, "the answer of %s is lost: %s", endpoint, text)
	default:
		return core.Errorf(core.Unavailable, op, "no connection to %s: %s%s", endpoint, text, advice(text))
	}
}

// harmless is the error of a call that changes nothing: what may have been
// applied was certainly not.
func harmless(err error) error {
	var e *core.Error
	if errors.As(err, &e) && e.Code == core.Indeterminate {
		e.Code = core.Unavailable
	}
	return err
}

// advice tells what to do about the failures of TLS people meet.
func advice(text string) string {
	switch {
	case strings.Contains(text, "certificate signed by unknown authority"):
		return " (its certificate is not from the authority that was pinned: check the address, or ask the administrator whether the certificate was replaced)"
	case strings.Contains(text, "x509:"), strings.Contains(text, "tls:"):
		return " (the certificate or TLS version is not accepted: ask the administrator)"
	}
	return ""
}
