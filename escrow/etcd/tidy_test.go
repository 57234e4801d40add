package etcd_test

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/escrowtest"
	"github.com/keposs/keposs/internal/etcdserver"
)

// tidy forgets the history of all keys and gives its space back, as an
// operator's compaction does.
func tidy(c *etcdserver.Cluster) func(context.Context, *escrowtest.Place, core.Backend) error {
	return func(ctx context.Context, _ *escrowtest.Place, _ core.Backend) error {
		cli, err := clientv3.New(clientv3.Config{Endpoints: c.Endpoints(), Logger: zap.NewNop()})
		if err != nil {
			return err
		}
		defer func() { _ = cli.Close() }()
		now, err := cli.Get(ctx, "now", clientv3.WithCountOnly())
		if err != nil {
			return err
		}
		if _, err := cli.Compact(ctx, now.Header.Revision, clientv3.WithCompactPhysical()); err != nil {
			return err
		}
		for _, end := range c.Endpoints() {
			if _, err := cli.Defragment(ctx, end); err != nil {
				return err
			}
		}
		return nil
	}
}
