package badger

import (
	"bytes"
	"slices"
	"sync"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/internal/codec"
)

// hots keeps the newest durable hot part of records that were read or written
// lately. SS-CC reads the same four small records in every request, and the
// skip list of Badger's table costs more than all the rest of such a read. The
// folder is held exclusively and one committer writes, so what is kept here is
// what a read of the files would give: it is changed in the same step that
// moves Store.last.
//
// What was never stored is kept as such, apart: the second question for a
// made-up user takes as long as that for a known one, and whoever asks for many
// pushes no record out.
type hots struct {
	mu   sync.RWMutex
	m    map[string]codec.Meta
	none map[string]codec.Meta // zero values
	most int
}

// maxHots bounds both, about 700 and 100 bytes each; any one makes room for the
// next.
const maxHots = 1 << 13

func newHots(most int) *hots {
	return &hots{m: map[string]codec.Meta{}, none: map[string]codec.Meta{}, most: most}
}

// get returns what is kept of key; its Hot is to be read only.
func (h *hots) get(key core.Key) (codec.Meta, bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.find(key)
}

// find is get with mu held.
func (h *hots) find(key core.Key) (codec.Meta, bool) {
	m, ok := h.m[string(key)]
	if !ok {
		m, ok = h.none[string(key)]
	}
	return m, ok
}

// set keeps m, which it takes over. Called with mu held.
func (h *hots) set(key string, m codec.Meta) {
	in := h.none
	if m.Version > 0 {
		delete(h.none, key)
		in = h.m
	}
	if _, known := in[key]; !known && len(in) >= h.most {
		for k := range in { // whichever the map gives first
			delete(in, k)
			break
		}
	}
	in[key] = m
}

// learn keeps what a read at timestamp ts gave, unless the store has moved on.
func (s *Store) learn(ts uint64, read []known) {
	s.hots.mu.Lock()
	defer s.hots.mu.Unlock()
	if s.last.Load() != ts {
		return
	}
	for _, r := range read {
		s.hots.set(string(r.key), r.meta)
	}
}

// durable makes a transaction's writes what readers see.
func (s *Store) durable(ts uint64, written map[string]codec.Meta) {
	s.hots.mu.Lock()
	defer s.hots.mu.Unlock()
	for key, m := range written {
		s.hots.set(key, m)
	}
	s.last.Store(ts)
}

// A known is a hot part and the key it was found under.
type known struct {
	key  core.Key
	meta codec.Meta
}

// recall answers a read of hot parts alone as far as they are kept; missing are
// the places that are not.
func (s *Store) recall(keys []core.Key, out []core.Record) (missing []int) {
	s.hots.mu.RLock()
	defer s.hots.mu.RUnlock()
	for i, k := range keys {
		m, ok := s.hots.find(k)
		if !ok {
			missing = append(missing, i)
			continue
		}
		out[i] = record(k, m)
		out[i].Hot = bytes.Clone(out[i].Hot)
	}
	return missing
}

// record is the hot part of what a reader gets; the key is copied.
func record(k core.Key, m codec.Meta) core.Record {
	r := core.Record{Key: slices.Clone(k)}
	if m.Version != 0 && !m.Deleted {
		r.Version, r.ReqID, r.Hot = m.Version, m.ReqID, m.Hot
	}
	return r
}
