package bench

import (
	"context"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/keposs/keposs/core"
)

// bareEtcd is etcd's client and one transaction, which compares what a key was
// read as: a client that knows nothing reads first, as the backend has to.
func bareEtcd(ctx context.Context, endpoints string) (*engine, error) {
	fail := func(err error) (*engine, error) {
		return nil, core.Errorf(core.Environment, "lab escrow", "bare etcd: %w", err)
	}
	c, err := clientv3.New(clientv3.Config{Endpoints: strings.Split(endpoints, ","), DialTimeout: 5 * time.Second})
	if err != nil {
		return fail(err)
	}
	cas := func(ctx context.Context, k core.Key, v core.Version, hot []byte) (core.Version, error) {
		key := Space + "_bare/" + string(k)
		r, err := c.Get(ctx, key)
		if err != nil {
			return 0, err
		}
		var now core.Version
		var rev int64
		if len(r.Kvs) > 0 {
			now, rev = core.Version(r.Kvs[0].Version), r.Kvs[0].ModRevision
		}
		if now != v {
			return 0, conflict(now)
		}
		t, err := c.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", rev)).Then(clientv3.OpPut(key, string(hot))).Commit()
		if err != nil {
			return 0, err
		}
		if !t.Succeeded {
			return 0, conflict(now + 1)
		}
		return v + 1, nil
	}
	record := string(noise(hotSize+blobSize, 1))
	for from := 0; from < stored; {
		var puts []clientv3.Op
		for ; from < stored && len(puts) < 100; from++ { // a member takes 128 in one transaction
			puts = append(puts, clientv3.OpPut(Space+"_read/"+string(key(from)), record))
		}
		if _, err := c.Txn(ctx).Then(puts...).Commit(); err != nil {
			_ = c.Close()
			return fail(err)
		}
	}
	read := func(ctx context.Context, k core.Key) ([]byte, error) {
		r, err := c.Get(ctx, Space+"_read/"+string(k))
		if err != nil || len(r.Kvs) == 0 {
			return nil, err
		}
		return r.Kvs[0].Value, nil
	}
	return &engine{grouped: cas, read: read, close: func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_, err := c.Delete(ctx, Space, clientv3.WithPrefix())
		_ = c.Close()
		if err != nil {
			return core.Errorf(core.Environment, "lab escrow", "remove what was measured: %w", err)
		}
		return nil
	}}, nil
}
