package mstcc

import (
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/protocol"
)

// journal remembers one acknowledged Prepare so that its Commit, and only
// that, can be repeated after a crash. It holds no policy, blob or key.
// Version 1:
//
//	init u8 ‖ user 16 ‖ idem 16 ‖ newGen u64 ‖ SM3(policy) 32 ‖ SM3(blob) 32 ‖ proof 64
type journal struct {
	init   bool
	user   protocol.ID
	idem   protocol.ID
	newGen uint64
	policy protocol.Hash
	sealed protocol.Hash
	proof  protocol.Sig
}

func (j *journal) marshal() []byte {
	p := &enc.Packer{}
	p.Flag(j.init)
	p.Raw(j.user[:])
	p.Raw(j.idem[:])
	p.U64(j.newGen)
	p.Raw(j.policy[:])
	p.Raw(j.sealed[:])
	p.Raw(j.proof[:])
	return p.B
}

func parseJournal(b []byte) (*journal, error) {
	u := enc.NewUnpacker(b)
	j := &journal{init: u.Flag()}
	u.Raw(j.user[:])
	u.Raw(j.idem[:])
	j.newGen = u.U64()
	u.Raw(j.policy[:])
	u.Raw(j.sealed[:])
	u.Raw(j.proof[:])
	if !u.Done() {
		return nil, malformed("journal")
	}
	return j, nil
}
