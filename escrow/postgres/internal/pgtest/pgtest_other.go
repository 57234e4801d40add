//go:build !linux

// Package pgtest runs the machine's PostgreSQL for tests, on Linux only.
package pgtest

import "testing"

// Start skips: elsewhere a server would outlive a killed test.
func Start(t *testing.T) string {
	t.Helper()
	t.Skip("PostgreSQL is started for tests on Linux only")
	return ""
}
