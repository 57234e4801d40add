package mstcc

import (
	"encoding/binary"

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
	b := appendFlag(nil, j.init)
	b = append(b, j.user[:]...)
	b = append(b, j.idem[:]...)
	b = binary.BigEndian.AppendUint64(b, j.newGen)
	b = append(b, j.policy[:]...)
	b = append(b, j.sealed[:]...)
	return append(b, j.proof[:]...)
}

func parseJournal(b []byte) (*journal, error) {
	f := &fields{b: b}
	j := &journal{init: f.flag()}
	copy(j.user[:], f.take(protocol.IDSize))
	copy(j.idem[:], f.take(protocol.IDSize))
	j.newGen = f.u64()
	copy(j.policy[:], f.take(protocol.HashSize))
	copy(j.sealed[:], f.take(protocol.HashSize))
	copy(j.proof[:], f.take(protocol.SigSize))
	if err := f.done("journal"); err != nil {
		return nil, err
	}
	return j, nil
}
