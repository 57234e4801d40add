//go:build !linux

package etcdserver

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

// Endpoints is empty.
func (*Cluster) Endpoints() []string { return nil }

// Run does nothing.
func (*Cluster) Run(int) error { return ErrAbsent }

// Delete is ErrAbsent.
func (*Cluster) Delete(context.Context, string) error { return ErrAbsent }

// Leader is ErrAbsent.
func (*Cluster) Leader(context.Context) (int, error) { return 0, ErrAbsent }

// Kill does nothing.
func (*Cluster) Kill(int) {}

// Pause does nothing.
func (*Cluster) Pause(int) {}

// Resume does nothing.
func (*Cluster) Resume(int) {}

// KillLeader is ErrAbsent.
func (*Cluster) KillLeader(context.Context) error { return ErrAbsent }

// PauseLeader is ErrAbsent.
func (*Cluster) PauseLeader(context.Context) error { return ErrAbsent }

// Ready is ErrAbsent.
func (*Cluster) Ready(context.Context, int) error { return ErrAbsent }

// Stop does nothing.
func (*Cluster) Stop() {}
