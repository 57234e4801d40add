// Package pgserver runs the machine's PostgreSQL for tests and for the
// laboratory: fresh clusters in folders of their own, reached by unix socket,
// with fsync on, alone or as a primary with quorum-synchronous standbys.
package pgserver

import "errors"

// ErrAbsent says that there is no PostgreSQL to run here; what is wrapped with it says why.
var ErrAbsent = errors.New("no PostgreSQL server here")
