package etcd

import (
	"context"
	"errors"
	"sync/atomic"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/keposs/keposs/core"
)

// sends notes on the context's mark that a request went on its way: without
// that, whatever happened, it was certainly not applied.
type sends struct{}

type sentKey struct{}

// marked returns a context whose requests set the mark.
func marked(ctx context.Context) (context.Context, *atomic.Bool) {
	var sent atomic.Bool
	return context.WithValue(ctx, sentKey{}, &sent), &sent
}

// TagRPC implements stats.Handler.
func (sends) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// HandleRPC implements stats.Handler.
func (sends) HandleRPC(ctx context.Context, s stats.RPCStats) {
	if _, ok := s.(*stats.OutPayload); ok {
		if mark, ok := ctx.Value(sentKey{}).(*atomic.Bool); ok {
			mark.Store(true)
		}
	}
}

// TagConn implements stats.Handler.
func (sends) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements stats.Handler.
func (sends) HandleConn(context.Context, stats.ConnStats) {}

// unapplied are answers a member gives before it proposes a transaction, or in
// place of applying it. Lack of space is not among them: the transaction that
// crosses the quota is applied and answered with it.
var unapplied = []error{
	rpctypes.ErrNoLeader, rpctypes.ErrTooManyRequests, rpctypes.ErrRequestTooLarge, rpctypes.ErrTooManyOps,
	rpctypes.ErrPermissionDenied, rpctypes.ErrInvalidAuthToken, rpctypes.ErrAuthFailed, rpctypes.ErrAuthOldRevision,
	rpctypes.ErrUserEmpty, rpctypes.ErrNotCapable,
}

// readError is the contract's error for a failed read or opening: nothing was changed.
func readError(op string, err error) error {
	code := core.Unavailable
	if errors.Is(err, rpctypes.ErrCorrupt) || status.Code(err) == codes.DataLoss {
		code = core.Corrupt
	}
	return core.Errorf(code, op, "%s", cause(err))
}

// writeError is the contract's error for a failed transaction.
func writeError(op string, err error, sent bool) error {
	if !sent {
		return readError(op, err)
	}
	for _, e := range unapplied {
		if errors.Is(err, e) {
			return readError(op, err)
		}
	}
	return core.Errorf(core.Indeterminate, op, "the commit may have happened, repeat it with the same request id: %s", cause(err))
}

// cause tells what went wrong without anything a caller gave: the words of a
// member are constants, those of the transport may quote addresses.
func cause(err error) string {
	var known rpctypes.EtcdError
	switch {
	case errors.As(err, &known):
		return known.Error()
	case errors.Is(err, context.DeadlineExceeded), status.Code(err) == codes.DeadlineExceeded:
		return "no answer in time"
	case errors.Is(err, context.Canceled), status.Code(err) == codes.Canceled:
		return "the call was given up"
	default:
		return "no member answers (" + status.Code(err).String() + ")"
	}
}
