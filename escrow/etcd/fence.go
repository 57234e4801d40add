package etcd

import (
	"context"
	"encoding/binary"
	"errors"
	"math"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/keposs/keposs/core"
)

func fenceNumber(b []byte) uint64 { return binary.BigEndian.Uint64(b) }

// RaiseFence implements core.Fencer. Transactions compare with the fence when
// they are applied, so none with a lower one is applied after it.
func (s *Store) RaiseFence(ctx context.Context, fence uint64) error {
	const op = "escrow/etcd: fence"
	if err := s.gate.Enter(ctx, op); err != nil {
		return err
	}
	defer s.gate.Leave()
	var cmps []clientv3.Cmp
	if fence != math.MaxUint64 {
		cmps = append(cmps, clientv3.Compare(clientv3.Value(s.fenceKey()), "<", fenceValue(fence+1)))
	}
	r, err := s.run(ctx, op, true, cmps, []clientv3.Op{clientv3.OpPut(s.fenceKey(), fenceValue(fence))})
	if errors.Is(err, rpctypes.ErrNoSpace) {
		return core.Errorf(core.Exhausted, op, "the cluster's space quota is used up: compact, defragment, disarm the alarm")
	}
	if err != nil {
		return err
	}
	if !r.Succeeded {
		return core.Errorf(core.Fenced, op, "fence %d was passed by a higher one", fence)
	}
	return nil
}
