package postgres

import (
	"context"
	"errors"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/keposs/keposs/core"
)

// readError is the contract's error for a failed read or a failed opening:
// nothing was changed.
func readError(op string, err error) error { return failure(op, err, core.Unavailable) }

// writeError is the contract's error for a failed commit. Only an error of the
// server that aborts the transaction, or one from before anything was sent, is
// certain; after a lost connection or a deadline nobody knows.
func writeError(op string, err error) error {
	var pg *pgconn.PgError
	if pgconn.SafeToRetry(err) || errors.As(err, &pg) && !fatal(pg) {
		return failure(op, err, core.Unavailable)
	}
	return core.Errorf(core.Indeterminate, op, "the commit may have happened, repeat it with the same request id: %s", cause(err))
}

// fatal tells errors that end the connection: a server that stops may do so
// after the transaction committed and before it was acknowledged.
func fatal(e *pgconn.PgError) bool {
	return e.SeverityUnlocalized == "FATAL" || e.SeverityUnlocalized == "PANIC" || strings.HasPrefix(e.Code, "08") || strings.HasPrefix(e.Code, "57P")
}

// serialization tells the two errors that ask to run the transaction again.
func serialization(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01") && !fatal(pg)
}

func failure(op string, err error, code core.Code) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch {
		case pg.Code == "53100" || pg.Code == "54000": // disk full, a limit of the engine
			code = core.Exhausted
		case strings.HasPrefix(pg.Code, "XX0"):
			code = core.Corrupt
		}
	}
	return core.Errorf(code, op, "%s", cause(err))
}

// cause tells what went wrong without anything a caller gave: drivers and
// servers quote arguments and connection strings.
func cause(err error) string {
	var pg *pgconn.PgError
	var dial *net.OpError
	switch {
	case errors.As(err, &pg):
		return "the server answers SQLSTATE " + pg.Code + " (" + pg.SeverityUnlocalized + ")"
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, errUnreplicated):
		return errUnreplicated.Error()
	case errors.Is(err, context.Canceled):
		return "the call was given up"
	case errors.As(err, &dial):
		return "connection: " + dial.Op + " " + dial.Err.Error()
	default:
		return "the connection failed"
	}
}
