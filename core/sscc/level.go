package sscc

import (
	"sync"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/sm"
)

// An effort counts the MACs of one request: over names that were not
// remembered and over records that were opened. A record that is absent, or
// remembered because its owner came by lately, costs none; an answer that does
// not say so must not tell it by its time, so a refusal makes up for them.
type effort struct{ names, opens int }

// What a refused call costs at most: the names of app, device and user and
// both digests of the audit log; the records of app, device and user.
const (
	callNames = 5
	callOpens = 3
)

// What a refused key exchange costs: app and device, and the log's digest.
const (
	exchangeNames = 3
	exchangeOpens = 2
)

// A decoy is a record that nothing stores, to be opened for its time.
type decoy struct {
	once sync.Once
	rec  core.Record
}

// decoySize is about the size of the records it stands for.
const decoySize = 128

// level makes up what e lacks.
func (k *keyring) level(e *effort, names, opens int) {
	for ; e.names < names; e.names++ {
		sm.HMAC(k.indexKey[:], enc.Join(enc.Str("device"), k.stateKey, k.realm[:]))
	}
	if e.opens >= opens {
		return
	}
	d := &k.decoy
	d.once.Do(func() {
		sealed, err := k.seal(sm.Rand(), kindDevice, k.stateKey, 1, make([]byte, decoySize))
		if err == nil {
			d.rec = core.Record{Key: k.stateKey, Version: 1, Hot: sealed}
		}
	})
	for ; e.opens < opens; e.opens++ {
		_, _ = k.open(kindDevice, d.rec.Key, uint64(d.rec.Version), d.rec.Hot)
	}
}
