//go:build !linux

package pgserver

import (
	"context"
	"fmt"
)

// A Cluster is run on Linux only.
type Cluster struct{}

// Start is ErrAbsent: elsewhere a server would outlive a killed test.
func Start(context.Context, int) (*Cluster, error) {
	return nil, fmt.Errorf("%w: servers are run on Linux only", ErrAbsent)
}

// StartWith is ErrAbsent.
func StartWith(ctx context.Context, _ Options) (*Cluster, error) { return Start(ctx, 0) }

// Addrs are none.
func (*Cluster) Addrs() []string { return nil }

// DSN is empty.
func (*Cluster) DSN() string { return "" }

// Exec is ErrAbsent.
func (*Cluster) Exec(context.Context, int, string) (string, error) { return "", ErrAbsent }

// Kill does nothing.
func (*Cluster) Kill(int) {}

// PausePrimary is ErrAbsent.
func (*Cluster) PausePrimary() error { return ErrAbsent }

// Run is ErrAbsent.
func (*Cluster) Run(context.Context, int) error { return ErrAbsent }

// Failover is ErrAbsent.
func (*Cluster) Failover(context.Context) (int, error) { return 0, ErrAbsent }

// Rejoin is ErrAbsent.
func (*Cluster) Rejoin(context.Context, int) error { return ErrAbsent }

// Stop does nothing.
func (*Cluster) Stop() {}
