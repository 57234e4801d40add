package channel_test

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/escrow/api/internal/channel"
)

func keys(t testing.TB, first byte) *channel.Keys {
	t.Helper()
	m := secret.New(channel.KeySize)
	for i := range m.Bytes() {
		m.Bytes()[i] = first + byte(i)
	}
	k, err := channel.NewKeys(m)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func seal(t testing.TB, k *channel.Keys, seq uint64, text string) []byte {
	t.Helper()
	b, err := k.SealRequest(rand.Reader, seq, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRoundTrip(t *testing.T) {
	k := keys(t, 1)
	for _, text := range []string{"", "a", string(bytes.Repeat([]byte{7}, channel.MaxRequest-channel.Overhead))} {
		req := seal(t, k, 9, text)
		seq, got, err := k.OpenRequest(req)
		if err != nil || seq != 9 || string(got) != text {
			t.Fatalf("request of %d bytes: seq %d, %v", len(text), seq, err)
		}
		ans, err := k.SealAnswer(rand.Reader, req, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got, err = k.OpenAnswer(req, ans); err != nil || string(got) != text {
			t.Fatalf("answer of %d bytes: %v", len(text), err)
		}
	}
	if _, err := k.SealRequest(rand.Reader, 1, make([]byte, channel.MaxRequest)); !errors.Is(err, core.TooLarge) {
		t.Errorf("too large: %v", err)
	}
	k.Wipe()
	if _, err := k.SealRequest(rand.Reader, 1, nil); !errors.Is(err, core.Closed) {
		t.Errorf("wiped: %v", err)
	}
	if s := fmt.Sprintf("%v %+v", k, k); bytes.Contains([]byte(s), []byte("1 2 3")) {
		t.Errorf("keys print: %s", s)
	}
}

// Another message, key, direction or request is refused, and so is any flipped
// bit of any byte.
func TestChangedMessagesAreRefused(t *testing.T) {
	k, other := keys(t, 1), keys(t, 2)
	req := seal(t, k, 1, "fetch the keys of this user")
	ans, err := k.SealAnswer(rand.Reader, req, []byte("here they are"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range req {
		for bit := range 8 {
			bad := bytes.Clone(req)
			bad[i] ^= 1 << bit
			if _, _, err := k.OpenRequest(bad); !errors.Is(err, core.Auth) {
				t.Fatalf("request byte %d bit %d: %v", i, bit, err)
			}
		}
	}
	for i := range ans {
		bad := bytes.Clone(ans)
		bad[i] ^= 0x10
		if _, err := k.OpenAnswer(req, bad); !errors.Is(err, core.Auth) {
			t.Fatalf("answer byte %d: %v", i, err)
		}
	}
	for n := range len(ans) {
		if _, err := k.OpenAnswer(req, ans[:n]); !errors.Is(err, core.Auth) {
			t.Fatalf("answer cut to %d: %v", n, err)
		}
	}
	if _, _, err := other.OpenRequest(req); !errors.Is(err, core.Auth) {
		t.Errorf("another session's keys: %v", err)
	}
	if _, _, err := k.OpenRequest(ans); !errors.Is(err, core.Auth) {
		t.Errorf("an answer sent back as a request: %v", err)
	}
	if _, err := k.OpenAnswer(req, req); !errors.Is(err, core.Auth) {
		t.Errorf("a request sent back as its answer: %v", err)
	}
	same := seal(t, k, 1, "fetch the keys of this user")
	if bytes.Equal(same, req) {
		t.Error("two messages of one text are equal: the iv repeats")
	}
	if _, err := k.OpenAnswer(same, ans); !errors.Is(err, core.Auth) {
		t.Errorf("the answer to another request with the same seq: %v", err)
	}
}

// The layout of docs/wire.md, recomputed with nothing of this package.
func TestLayout(t *testing.T) {
	k := keys(t, 0)
	iv := bytes.Repeat([]byte{0xA5}, 16)
	req, err := k.SealRequest(bytes.NewReader(iv), 0x0102, []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	key := func(from, n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(from + i)
		}
		return b
	}
	layout := func(dir string, encKey, macKey, request []byte, plain string) []byte {
		ct := make([]byte, len(plain))
		if err := sm.CTR(encKey, iv, ct, []byte(plain)); err != nil {
			t.Fatal(err)
		}
		var of []byte
		if request != nil {
			sum := sm.SM3(request)
			of = sum[:]
		}
		mac := sm.HMAC(macKey, enc.Join([]byte(dir), enc.U64(0x0102), iv, of, ct))
		return append(append(append(enc.U64(0x0102), iv...), ct...), mac[:]...)
	}
	if want := layout("request", key(0, 16), key(16, 32), nil, "hello"); !bytes.Equal(req, want) {
		t.Errorf("request\n got %x\nwant %x", req, want)
	}
	ans, err := k.SealAnswer(bytes.NewReader(iv), req, []byte("world"))
	if err != nil {
		t.Fatal(err)
	}
	if want := layout("answer", key(48, 16), key(64, 32), req, "world"); !bytes.Equal(ans, want) {
		t.Errorf("answer\n got %x\nwant %x", ans, want)
	}
	file, err := os.ReadFile("../../testdata/v1/sealed.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got := "request " + hex.EncodeToString(req) + "\nanswer " + hex.EncodeToString(ans) + "\n"; got != string(file) {
		t.Errorf("version 1 changed:\n%s", got)
	}
}

// req: TK-12
func FuzzOpen(f *testing.F) {
	k := keys(f, 1)
	req, err := k.SealRequest(bytes.NewReader(make([]byte, 16)), 1, []byte("seed")) // the same in every worker
	if err != nil {
		f.Fatal(err)
	}
	f.Add(req)
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, _, err := k.OpenRequest(b); err == nil && !bytes.Equal(b, req) {
			t.Errorf("accepted %x, which nobody sealed", b)
		}
	})
}
