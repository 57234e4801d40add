package sscc

import (
	"context"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
)

// BootKey is the key of the record without which SS-CC cannot start. Whoever
// copies a store copies it last.
func BootKey() core.Key { return bootKey() }

// RestoredMark is the record that a restore puts into a store first: the next
// SS-CC that opens the store freezes every user in it, because a try may have
// been answered after the snapshot was taken (I7).
func RestoredMark() core.Record {
	h := sm.SM3(enc.Join(enc.Str("keposs/ss-cc/1"), enc.Str("restored")))
	return core.Record{Key: core.Key(h[:]), Version: 1, Hot: []byte("restored")}
}

// settledMark is what the mark becomes: SS-CC deletes no record.
const settledMark = "frozen"

// restored returns the version of the mark; 0 when it is not set.
func (s *Server) restored(ctx context.Context) (core.Version, error) {
	recs, err := s.store.get(ctx, true, RestoredMark().Key)
	if err != nil || string(recs[0].Hot) == settledMark {
		return 0, err
	}
	return recs[0].Version, nil
}

// forgetRestore settles the mark once the freeze is stored. Killed between the
// two, SS-CC freezes once more, which changes nothing. Another replica may have
// settled it already.
func (s *Server) forgetRestore(ctx context.Context, v core.Version) error {
	if v == 0 {
		return nil
	}
	_, err := s.store.put(ctx, core.Mutation{Key: RestoredMark().Key, Expect: v, Op: core.OpPutHot, Hot: []byte(settledMark), ReqID: s.reqID()})
	if core.CodeOf(err) == core.Conflict {
		return nil
	}
	return err
}

// BootRealm tells whose SS-CC a boot record is. Corrupt when it is none.
func BootRealm(r core.Record) (protocol.ID, error) {
	b, err := parseBoot(r.Blob)
	if err != nil {
		return protocol.ID{}, err
	}
	return b.realm, nil
}
