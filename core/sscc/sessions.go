package sscc

import (
	"crypto/subtle"
	"sync"

	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
)

// sessions keeps tickets that were opened, so that a device's next call costs
// no MAC and no decryption. It is no truth: any replica opens any ticket, and
// app, device and user are read in every call. It goes with its key ring.
type sessions struct {
	mu sync.Mutex
	m  map[[sealIV]byte]*session
}

type session struct {
	ticket  []byte
	peer    protocol.Peer
	keys    *secret.Buffer
	expires int64
}

// maxSessions bounds them; a full store is wiped and begun anew.
const maxSessions = 1 << 13

// session opens a ticket of the right length; the keys are the caller's.
func (k *keyring) session(ticket []byte) (peer protocol.Peer, keys *secret.Buffer, expires int64, err error) {
	iv := [sealIV]byte(ticket[frameHead:])
	k.sessions.mu.Lock()
	if s := k.sessions.m[iv]; s != nil && subtle.ConstantTimeCompare(s.ticket, ticket) == 1 {
		defer k.sessions.mu.Unlock()
		return s.peer, s.keys.Clone(), s.expires, nil
	}
	k.sessions.mu.Unlock()
	plain, err := k.open(kindSession, k.sessionKey, 1, ticket)
	if err != nil {
		return peer, nil, 0, err
	}
	defer secret.Zero(plain)
	if peer, keys, expires, err = parseSession(plain); err != nil {
		return peer, nil, 0, err
	}
	k.sessions.put(iv, &session{append([]byte(nil), ticket...), peer, keys.Clone(), expires})
	return peer, keys, expires, nil
}

func (s *sessions) put(iv [sealIV]byte, one *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m == nil || len(s.m) >= maxSessions {
		s.wipe()
		s.m = map[[sealIV]byte]*session{}
	}
	if old := s.m[iv]; old != nil {
		old.keys.Wipe()
	}
	s.m[iv] = one
}

func (s *sessions) wipe() {
	for _, one := range s.m {
		one.keys.Wipe()
	}
	s.m = nil
}

func (s *sessions) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wipe()
}
