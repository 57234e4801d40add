package sscc

import (
	"sync"

	"github.com/keposs/keposs/core/protocol"
)

// blobCache keeps opened blobs by the digest of their sealed form, which every
// counter record names: a hit is never stale, because the counter is read each
// time. Entries are wiped when they leave.
type blobCache struct {
	mu   sync.Mutex
	most int
	m    map[protocol.Hash]*blob
	ring []protocol.Hash
	next int
}

func newBlobCache(most int) *blobCache {
	return &blobCache{most: most, m: map[protocol.Hash]*blob{}}
}

func (c *blobCache) get(sum protocol.Hash) *blob {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.m[sum]
}

// put keeps b. The oldest entry makes room; it may still be in use, so its key
// is left to the collector and wiped only by clear, which runs alone.
func (c *blobCache) put(sum protocol.Hash, b *blob) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m[sum] != nil {
		return
	}
	if len(c.ring) < c.most {
		c.ring = append(c.ring, sum)
	} else {
		delete(c.m, c.ring[c.next])
		c.ring[c.next] = sum
		c.next = (c.next + 1) % c.most
	}
	c.m[sum] = b
}

// clear wipes everything. No request may be under way.
func (c *blobCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.m {
		b.wipe()
	}
	c.m, c.ring, c.next = map[protocol.Hash]*blob{}, nil, 0
}
