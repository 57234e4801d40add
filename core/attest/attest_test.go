package attest

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
)

func newKey(t testing.TB) *sm.PrivateKey {
	t.Helper()
	k, err := sm.GenerateKey(sm.Rand())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Wrong nonce, stale, wrong app id, another signer and a changed byte are
// refused; the right statement is accepted.
// req: P-14
func TestVerify(t *testing.T) {
	key, now := newKey(t), time.Unix(1_800_000_000, 0)
	good := Statement{Nonce: protocol.Hash{1, 2, 3}, Subject: "com.example.bank", Issued: now.Unix()}
	want := Want{Nonce: good.Nonce, Subject: good.Subject, Now: now}
	service := NewService(key.Public())
	for name, c := range map[string]struct {
		by   *sm.PrivateKey
		edit func(*Statement)
		ok   bool
	}{
		"good":          {key, func(*Statement) {}, true},
		"nearly stale":  {key, func(s *Statement) { s.Issued -= int64(MaxAge.Seconds()) }, true},
		"wrong nonce":   {key, func(s *Statement) { s.Nonce[31]++ }, false},
		"stale":         {key, func(s *Statement) { s.Issued -= int64(MaxAge.Seconds()) + 1 }, false},
		"of tomorrow":   {key, func(s *Statement) { s.Issued += 24 * 3600 }, false},
		"wrong app id":  {key, func(s *Statement) { s.Subject = "com.example.bank2" }, false},
		"other service": {newKey(t), func(*Statement) {}, false},
	} {
		s := good
		c.edit(&s)
		token, err := s.Sign(c.by)
		if err != nil {
			t.Fatal(err)
		}
		err = service.Verify(context.Background(), token, want)
		if c.ok && err != nil || !c.ok && !errors.Is(err, core.Refused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	token, err := good.Sign(key)
	if err != nil {
		t.Fatal(err)
	}
	for i := range token {
		b := bytes.Clone(token)
		b[i] ^= 1
		if service.Verify(context.Background(), b, want) == nil {
			t.Errorf("byte %d changed: accepted", i)
		}
	}
	for _, bad := range [][]byte{nil, token[1:], token[:len(token)-1], append(bytes.Clone(token), 0), make([]byte, MaxToken+1)} {
		if err := service.Verify(context.Background(), bad, want); err == nil {
			t.Errorf("%d bytes: accepted", len(bad))
		}
	}
	for _, subject := range []string{"", strings.Repeat("a", protocol.MaxSubject+1)} {
		if _, err := (Statement{Subject: subject}).Sign(key); !errors.Is(err, core.Invalid) {
			t.Errorf("a subject of %d bytes: %v", len(subject), err)
		}
	}
}

// What parses is the encoding of what it was parsed to.
func FuzzToken(f *testing.F) {
	token, err := Statement{Nonce: protocol.Hash{1}, Subject: "com.example.bank", Issued: 1}.Sign(newKey(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, signed, sig, err := parse(b)
		if err != nil {
			return
		}
		if !bytes.Equal(append(s.body(), sig[:]...), b) || !bytes.Equal(s.body(), signed) {
			t.Errorf("%x parses to %+v, whose bytes differ", b, s)
		}
	})
}
