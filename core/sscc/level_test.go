package sscc

import (
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/sm"
)

// A refusal costs the same MACs whether names and records were remembered,
// absent or new.
func TestLevel(t *testing.T) {
	k, err := newKeyring(sm.Rand())
	if err != nil {
		t.Fatal(err)
	}
	defer k.wipe()
	sealed, err := k.seal(sm.Rand(), kindApp, k.appKey(nil, k.realm), 1, []byte("plain"))
	if err != nil {
		t.Fatal(err)
	}
	rec := core.Record{Key: k.appKey(nil, k.realm), Version: 1, Hot: sealed}
	for _, want := range []effort{{1, 1}, {0, 0}} { // new, then remembered
		var e effort
		k.indexed(&e, []byte("tenant"), []byte("name"))
		if _, err := k.openHot(&e, kindApp, rec); err != nil {
			t.Fatal(err)
		}
		if e != want {
			t.Errorf("computed %+v, want %+v", e, want)
		}
		k.level(&e, callNames, callOpens)
		if e != (effort{callNames, callOpens}) {
			t.Errorf("a refusal computes %+v", e)
		}
	}
	if _, err := k.open(kindDevice, k.decoy.rec.Key, 1, k.decoy.rec.Hot); err != nil {
		t.Errorf("the decoy does not open, so it takes less time than a record: %v", err)
	}
}
