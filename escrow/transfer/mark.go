package transfer

import (
	"context"
	"encoding/json"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/sm"
)

// mark is what a store says whose place another one took. It is no secret and
// not sealed.
type mark struct {
	To   string `json:"to"`
	Unix int64  `json:"unix"`
}

// markKey is SM3(enc("keposs/transfer/1", "moved")).
func markKey() core.Key {
	h := sm.SM3(enc.Join(enc.Str("keposs/transfer/1"), enc.Str("moved")))
	return core.Key(h[:])
}

// Moved returns which backend took b's place; "" when none did. SS-CC must not
// serve a store that was moved: its counters are older than what was answered.
func Moved(ctx context.Context, b core.Backend) (to string, err error) {
	m, _, err := readMark(ctx, b)
	return m.To, err
}

func readMark(ctx context.Context, b core.Backend) (m mark, v core.Version, err error) {
	recs, err := b.GetMany(ctx, []core.Key{markKey()}, core.ReadOpts{HotOnly: true})
	if err != nil || recs[0].Version == 0 {
		return m, 0, err
	}
	if err := json.Unmarshal(recs[0].Hot, &m); err != nil || m.To == "" {
		return m, 0, core.Errorf(core.Corrupt, "transfer: moved", "the mark of a moved store is malformed")
	}
	return m, recs[0].Version, nil
}

// setMark makes b say that to took its place.
func setMark(ctx context.Context, b core.Backend, to string, unix int64) error {
	text, err := json.Marshal(mark{to, unix})
	if err != nil {
		return core.Errorf(core.Internal, "transfer: moved", "%w", err)
	}
	_, v, err := readMark(ctx, b)
	if err != nil {
		return err
	}
	return commit(ctx, b, core.Mutation{Key: markKey(), Expect: v, Op: core.OpPut, Hot: text})
}

// dropMark makes b a store like any other again.
func dropMark(ctx context.Context, b core.Backend) error {
	_, v, err := readMark(ctx, b)
	if err != nil || v == 0 {
		return err
	}
	return commit(ctx, b, core.Mutation{Key: markKey(), Expect: v, Op: core.OpDelete})
}

// commit applies one mutation; an outcome left open is asked again.
func commit(ctx context.Context, b core.Backend, m core.Mutation) (err error) {
	id, err := newReqID()
	if err != nil {
		return err
	}
	m.ReqID = id
	for range 4 {
		var res []core.Result
		if res, err = b.CommitMany(ctx, []core.Mutation{m}); err == nil {
			err = res[0].Err
		}
		if core.CodeOf(err) != core.Indeterminate {
			return err
		}
	}
	return err
}
