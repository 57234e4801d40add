package transfer

import (
	"encoding/hex"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/sm"
)

// A sum is the digest of a store: a chain of SM3 over its records in key order.
//
//	d_0 = SM3("KEPOSS-STORE-v1"), d_i = SM3(d_(i-1) ‖ record), records as in a snapshot
type sum struct {
	head          [32]byte
	begun         bool
	records, dead uint64
	bytes         uint64
}

func (s *sum) add(r core.Record, gone bool) {
	if !s.begun {
		s.head, s.begun = sm.SM3([]byte("KEPOSS-STORE-v1")), true
	}
	raw := appendRecord(append([]byte(nil), s.head[:]...), r, gone)
	s.head = sm.SM3(raw)
	if gone {
		s.dead++
	} else {
		s.records++
	}
	s.bytes += uint64(len(r.Key) + len(r.Hot) + len(r.Blob))
}

func (s *sum) report() Report {
	if !s.begun {
		s.head = sm.SM3([]byte("KEPOSS-STORE-v1"))
	}
	return Report{Records: s.records, Tombstones: s.dead, Bytes: s.bytes, Digest: hex.EncodeToString(s.head[:])}
}
