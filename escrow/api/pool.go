package api

import (
	"google.golang.org/grpc/mem"

	"github.com/keposs/keposs/core/secret"
)

// wipingPool zeroes gRPC's buffers when they come back: a password or a ticket
// key does not rest in a pool. gRPC does not pool messages up to 1 KiB, so what
// carries a password is longer (passwordBlock).
type wipingPool struct{ mem.BufferPool }

// Put zeroes the whole buffer and gives it back.
func (p wipingPool) Put(b *[]byte) {
	secret.Zero((*b)[:cap(*b)])
	p.BufferPool.Put(b)
}

func newPool() mem.BufferPool { return wipingPool{mem.DefaultBufferPool()} }
