package sscc

import (
	"context"

	"github.com/keposs/keposs/core"
)

// A doc is a small sealed record: app, device, ticket, reads, state. Its
// content stands in Hot.
type doc struct {
	key     core.Key
	version core.Version
	plain   []byte
}

// getDoc reads one; Version 0 when absent.
func (s *Server) getDoc(ctx context.Context, k *keyring, of kind, key core.Key) (*doc, error) {
	recs, err := s.store.get(ctx, true, key)
	if err != nil {
		return nil, err
	}
	return s.openDoc(nil, k, of, recs[0])
}

func (s *Server) openDoc(e *effort, k *keyring, of kind, r core.Record) (*doc, error) {
	d := &doc{key: r.Key, version: r.Version}
	if r.Version == 0 {
		return d, nil
	}
	var err error
	if of == kindApp || of == kindDevice {
		d.plain, err = k.openHot(e, of, r)
	} else {
		d.plain, err = k.open(of, r.Key, uint64(r.Version), r.Hot)
	}
	return d, err
}

// putDoc stores d.plain at d.version+1, which d then carries.
func (s *Server) putDoc(ctx context.Context, k *keyring, of kind, d *doc) error {
	raw, err := k.seal(s.cfg.Rand, of, d.key, uint64(d.version)+1, d.plain)
	if err != nil {
		return err
	}
	m := core.Mutation{Key: d.key, Expect: d.version, Op: core.OpPutHot, Hot: raw, ReqID: s.reqID()}
	if d.version == 0 {
		m.Op = core.OpPut
	}
	v, err := s.store.put(ctx, m)
	if err != nil {
		return err
	}
	if v != d.version+1 {
		return core.Errorf(core.Corrupt, "sscc: store", "a new %s got version %d: its key was deleted before, which SS-CC never does", of, v)
	}
	d.version = v
	return nil
}
