package sscc

import (
	"sync"

	"github.com/keposs/keposs/core/sm"
)

// names remembers what the index and audit keys made of a name, so that a
// device that comes again costs no HMAC for each of its records. It holds
// nothing that is not in the backend or in the log beside the names that
// requests carry, and goes with the key ring it belongs to.
type names struct {
	mu sync.RWMutex
	m  map[string][32]byte
}

// maxNames bounds it; a full one is begun anew, which costs time only.
const maxNames = 1 << 15

// of is HMAC-SM3(key, name); what tells the keys apart. e, when there is one,
// counts what is computed.
func (n *names) of(e *effort, what byte, key *[32]byte, name []byte) [32]byte {
	var room [160]byte
	at := append(append(room[:0], what), name...)
	n.mu.RLock()
	h, ok := n.m[string(at)]
	n.mu.RUnlock()
	if ok {
		return h
	}
	h = sm.HMAC(key[:], name)
	if e != nil {
		e.names++
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.m == nil || len(n.m) >= maxNames {
		n.m = map[string][32]byte{}
	}
	n.m[string(at)] = h
	return h
}

func (n *names) clear() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.m = nil
}
