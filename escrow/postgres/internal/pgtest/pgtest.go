// Package pgtest runs the machine's PostgreSQL for tests; internal/pgserver does the work.
package pgtest

import (
	"errors"
	"testing"

	"github.com/keposs/keposs/internal/pgserver"
)

// Start runs a server until the test ends and returns its connection string.
// It skips where PostgreSQL is absent.
func Start(t *testing.T) string {
	t.Helper()
	return Cluster(t, 0).DSN()
}

// Cluster runs a primary and so many quorum-synchronous standbys until the test
// ends. It skips where PostgreSQL is absent.
func Cluster(t *testing.T, standbys int) *pgserver.Cluster {
	t.Helper()
	return With(t, pgserver.Options{Standbys: standbys})
}

// With is Cluster with options, for benchmarks too.
func With(t testing.TB, o pgserver.Options) *pgserver.Cluster {
	t.Helper()
	c, err := pgserver.StartWith(t.Context(), o)
	if errors.Is(err, pgserver.ErrAbsent) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	return c
}
