package seal

import (
	"bytes"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/sm"
)

func pair(t testing.TB) (host, plugin *Session) {
	t.Helper()
	k, err := NewKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	c, finish, err := Offer(nil, k.Public())
	if err != nil {
		t.Fatal(err)
	}
	plugin, confirm, err := k.Accept(c)
	if err != nil {
		t.Fatal(err)
	}
	if host, err = finish(confirm); err != nil {
		t.Fatal(err)
	}
	return host, plugin
}

func TestBothWays(t *testing.T) {
	host, plugin := pair(t)
	for _, n := range []int{0, 1, 15, 16, 17, 4096} {
		plain := bytes.Repeat([]byte{0xA5}, n)
		for _, d := range [][2]*Session{{host, plugin}, {plugin, host}} {
			box, err := d[0].Seal("sample", plain)
			if err != nil {
				t.Fatal(err)
			}
			if n >= 15 && bytes.Contains(box, plain) {
				t.Fatalf("%d bytes stand in the sealed value", n)
			}
			got, err := d[1].Open("sample", box)
			if err != nil || !bytes.Equal(got.Bytes(), plain) {
				t.Fatalf("open %d bytes: %v", n, err)
			}
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	host, plugin := pair(t)
	box, err := host.Seal("sample", []byte("1234"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range box {
		bad := bytes.Clone(box)
		bad[i] ^= 1
		if _, err := plugin.Open("sample", bad); core.CodeOf(err) != core.Refused {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
	if _, err := plugin.Open("secret", box); core.CodeOf(err) != core.Refused {
		t.Fatalf("other context: %v", err)
	}
	if _, err := host.Open("sample", box); core.CodeOf(err) != core.Refused {
		t.Fatalf("reflected: %v", err)
	}
	if _, err := plugin.Open("sample", box); err != nil {
		t.Fatal(err)
	}
	if _, err := plugin.Open("sample", box); core.CodeOf(err) != core.Refused {
		t.Fatalf("repeated: %v", err)
	}
}

func TestOutOfOrderWithinWindow(t *testing.T) {
	host, plugin := pair(t)
	boxes := make([][]byte, 2*window)
	for i := range boxes {
		var err error
		if boxes[i], err = host.Seal("x", nil); err != nil {
			t.Fatal(err)
		}
	}
	open := func(i int) core.Code { _, err := plugin.Open("x", boxes[i]); return core.CodeOf(err) }
	if c := open(window); c != core.Unknown {
		t.Fatalf("ahead: %v", c)
	}
	if c := open(1); c != core.Unknown {
		t.Fatalf("oldest in the window: %v", c)
	}
	if c := open(0); c != core.Refused {
		t.Fatalf("older than the window: %v", c)
	}
	if c := open(2*window - 1); c != core.Unknown {
		t.Fatalf("far ahead: %v", c)
	}
	for i := window; i < 2*window; i++ {
		want := core.Unknown
		if i == window || i == 2*window-1 {
			want = core.Refused
		}
		if c := open(i); c != want {
			t.Fatalf("value %d: %v, want %v", i, c, want)
		}
	}
}

func TestAgreementRefuses(t *testing.T) {
	k, err := NewKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Offer(nil, make([]byte, 65)); core.CodeOf(err) != core.Refused {
		t.Fatalf("no point: %v", err)
	}
	c, finish, err := Offer(nil, k.Public())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := finish(make([]byte, confirmLen)); core.CodeOf(err) != core.Refused {
		t.Fatalf("wrong confirmation: %v", err)
	}
	bad := bytes.Clone(c)
	bad[len(bad)-1] ^= 1
	if _, _, err := k.Accept(bad); core.CodeOf(err) != core.Refused {
		t.Fatalf("changed message: %v", err)
	}
	if _, _, err := k.Accept(c); err != nil {
		t.Fatal(err)
	}
	if _, _, err := k.Accept(c); core.CodeOf(err) != core.State {
		t.Fatalf("second session: %v", err)
	}
}

func TestCloseEnds(t *testing.T) {
	host, plugin := pair(t)
	box, _ := host.Seal("x", []byte("y"))
	plugin.Close()
	if _, err := plugin.Open("x", box); core.CodeOf(err) != core.Closed {
		t.Fatalf("open after close: %v", err)
	}
	if _, err := plugin.Seal("x", nil); core.CodeOf(err) != core.Closed {
		t.Fatalf("seal after close: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	host, plugin := pair(f)
	box, _ := host.Seal("sample", []byte("123456"))
	f.Add([]byte{})
	f.Add(box[:Overhead])
	f.Add(append(bytes.Clone(box), 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := plugin.Open("other", b); err == nil {
			t.Fatal("a value nobody sealed opens")
		}
	})
}

func FuzzAccept(f *testing.F) {
	k, err := NewKey(sm.Rand())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(make([]byte, cipherLen))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, _, err := k.Accept(b); err == nil {
			t.Fatal("a message nobody made opens")
		}
	})
}

// TestDocumentedForm derives the keys and opens a value a second time, as
// section 4 of docs/plugin-protocol.md says it.
func TestDocumentedForm(t *testing.T) {
	priv, err := sm.GenerateKey(sm.Rand())
	if err != nil {
		t.Fatal(err)
	}
	public := priv.Public().Uncompressed()
	c, finish, err := Offer(nil, public[:])
	if err != nil {
		t.Fatal(err)
	}
	s, err := priv.Decrypt(c)
	if err != nil || s.Len() != 32 || len(c) != 129 {
		t.Fatalf("S has %d bytes, C %d: %v", s.Len(), len(c), err)
	}
	l := "keposs.plugin.v1 sealing"
	transcript := sm.SM3(append(append([]byte(l), public[:]...), c...))
	k := sm.KDF(append(bytes.Clone(s.Bytes()), transcript[:]...), 128)
	e1, m1, confirm := k[:16], k[16:48], sm.HMAC(k[96:], []byte(l+" confirm"))
	host, err := finish(confirm[:])
	if err != nil {
		t.Fatal(err)
	}
	for seq := byte(1); seq <= 2; seq++ {
		box, err := host.Seal("sample", []byte("123456"))
		if err != nil || len(box) != 8+16+6+32 {
			t.Fatalf("%d bytes: %v", len(box), err)
		}
		want := []byte{0, 0, 0, 0, 0, 0, 0, seq, 0, 0, 0, 0, 0, 0, 0, seq, 0, 0, 0, 0, 0, 0, 0, 0}
		if !bytes.Equal(box[:24], want) {
			t.Fatalf("seq and iv are %x", box[:24])
		}
		tag := sm.HMAC(m1, append([]byte("\x06sample"), box[:30]...))
		plain := make([]byte, 6)
		if err := sm.CTR(e1, box[8:24], plain, box[24:30]); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(tag[:], box[30:]) || string(plain) != "123456" {
			t.Fatalf("value %d is not as documented", seq)
		}
	}
}
