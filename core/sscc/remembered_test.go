package sscc

import (
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

// What was opened before is opened again without its MAC only while it is the
// same record in every byte, of the same kind, key and version.
func TestFramesVerifyWhatChanged(t *testing.T) {
	k, err := newKeyring(sm.Rand())
	if err != nil {
		t.Fatal(err)
	}
	key := k.index([]byte("x"), []byte("y"))
	sealed, err := k.seal(sm.Rand(), kindApp, key, 3, []byte("plain"))
	if err != nil {
		t.Fatal(err)
	}
	rec := core.Record{Key: key, Version: 3, Hot: sealed}
	for range 2 {
		if p, err := k.openHot(nil, kindApp, rec); err != nil || string(p) != "plain" {
			t.Fatalf("%q, %v", p, err)
		}
	}
	if _, ok := k.frames.get(kindApp, rec); !ok {
		t.Error("not remembered")
	}
	other := k.index([]byte("x"), []byte("z"))
	for name, r := range map[string]core.Record{
		"version": {Key: key, Version: 4, Hot: sealed},
		"key":     {Key: other, Version: 3, Hot: sealed},
	} {
		if _, err := k.openHot(nil, kindApp, r); core.CodeOf(err) != core.Corrupt {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := k.openHot(nil, kindDevice, rec); core.CodeOf(err) != core.Corrupt {
		t.Errorf("kind: %v", err)
	}
	for i := range sealed {
		bad := append([]byte(nil), sealed...)
		bad[i] ^= 1
		if _, err := k.openHot(nil, kindApp, core.Record{Key: key, Version: 3, Hot: bad}); err == nil {
			t.Fatalf("byte %d: opened", i)
		}
	}
	k.wipe()
	if _, ok := k.frames.get(kindApp, rec); ok {
		t.Error("remembered after the keys were wiped")
	}
}

// A remembered session ticket is held against every byte of the one that comes,
// gives keys of the caller's own, and goes with its key ring.
func TestSessionsAreRemembered(t *testing.T) {
	k, err := newKeyring(sm.Rand())
	if err != nil {
		t.Fatal(err)
	}
	peer := protocol.Peer{App: protocol.ID{1}, Device: protocol.ID{2}}
	plain := marshalSession(peer, secret.Copy(make([]byte, SessionKeys)), time.Now().Unix())
	ticket, err := k.seal(sm.Rand(), kindSession, k.sessionKey, 1, plain.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		p, keys, _, err := k.session(ticket)
		if err != nil || p != peer || keys.Len() != SessionKeys {
			t.Fatal(p, err)
		}
		keys.Wipe() // of this caller only
	}
	for i := range ticket {
		bad := append([]byte(nil), ticket...)
		bad[i] ^= 1
		if _, _, _, err := k.session(bad); err == nil {
			t.Fatalf("byte %d: opened", i)
		}
	}
	mine := k.sessions.m[[sealIV]byte(ticket[frameHead:])]
	if mine == nil {
		t.Fatal("not remembered")
	}
	k.wipe()
	if mine.keys.Len() != 0 || k.sessions.m != nil {
		t.Error("keys left after the ring was wiped")
	}
}

// Two keys make two names of one identifier, and a full memory begins anew.
func TestNames(t *testing.T) {
	var n names
	a, b := [32]byte{1}, [32]byte{2}
	for range 2 {
		if n.of(nil, 'i', &a, []byte("x")) != sm.HMAC(a[:], []byte("x")) || n.of(nil, 'a', &b, []byte("x")) != sm.HMAC(b[:], []byte("x")) {
			t.Error("a name is not the HMAC")
		}
	}
	for i := range maxNames + 2 {
		n.of(nil, 'i', &a, []byte{byte(i), byte(i >> 8), byte(i >> 16)})
	}
	if len(n.m) > maxNames {
		t.Errorf("%d names", len(n.m))
	}
}
