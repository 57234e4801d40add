package sm3

import (
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	gmsm "github.com/emmansun/gmsm/sm3"

	"github.com/keposs/keposs/internal/testenv"
)

func sum(parts ...[]byte) []byte {
	var d Digest
	var h [8]uint32
	d.Reset()
	for _, p := range parts {
		_, _ = d.Write(p)
	}
	d.Sum(&h)
	out := make([]byte, Size)
	PutWords(out, &h)
	return out
}

func mac(key []byte, parts ...[]byte) []byte {
	var k Key
	var d Digest
	var h [8]uint32
	k.Init(key, &d)
	k.MAC(&h, &d, parts...)
	out := make([]byte, Size)
	PutWords(out, &h)
	return out
}

// req: K-16-05
func TestStandardExamples(t *testing.T) {
	for msg, want := range map[string]string{
		"abc": "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0",
		"abcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcd": "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732",
	} {
		if got := hex.EncodeToString(sum([]byte(msg))); got != want {
			t.Errorf("SM3(%q) = %s, want %s", msg, got, want)
		}
	}
}

func TestWycheproofHMAC(t *testing.T) {
	raw, err := os.ReadFile(testenv.Data(t, "vectors", "wycheproof-hmac_sm3_test.json"))
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		TestGroups []struct {
			TagSize int
			Tests   []struct {
				TcID                  int
				Key, Msg, Tag, Result string
			}
		}
	}
	if err := json.Unmarshal(raw, &f); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, g := range f.TestGroups {
		for _, v := range g.Tests {
			n++
			key, _ := hex.DecodeString(v.Key)
			msg, _ := hex.DecodeString(v.Msg)
			tag, _ := hex.DecodeString(v.Tag)
			same := bytes.Equal(mac(key, msg)[:g.TagSize/8], tag)
			if same != (v.Result == "valid") {
				t.Errorf("tc %d: equal = %v, want %s", v.TcID, same, v.Result)
			}
		}
	}
	if n != 174 {
		t.Errorf("%d vectors, want 174", n)
	}
}

func FuzzAgainstGmsm(f *testing.F) {
	f.Add([]byte("key"), []byte("message"), uint8(3))
	f.Add(bytes.Repeat([]byte("k"), 65), bytes.Repeat([]byte("m"), 119), uint8(64))
	f.Add([]byte{}, bytes.Repeat([]byte{0}, 56), uint8(0))
	f.Fuzz(func(t *testing.T, key, msg []byte, cut uint8) {
		k := min(int(cut), len(msg))
		want := gmsm.Sum(msg)
		if got := sum(msg[:k], msg[k:]); !bytes.Equal(got, want[:]) {
			t.Errorf("SM3: %x, want %x", got, want)
		}
		h := hmac.New(gmsm.New, key)
		h.Write(msg)
		if got := mac(key, msg[:k], msg[k:]); !bytes.Equal(got, h.Sum(nil)) {
			t.Errorf("HMAC: %x, want %x", got, h.Sum(nil))
		}
	})
}

// Every lane of every width does what the plain form does, with a key of its own.
func TestLanes(t *testing.T) {
	for _, width := range Widths() {
		var l Lanes
		var d Digest
		for lane := range width {
			var k Key
			var u [8]uint32
			k.Init([]byte{byte(lane)}, &d)
			k.MAC(&u, &d, []byte("salt"), []byte{0, 0, 0, 1})
			l.SetKey(lane, &k)
			l.Start(lane, &u)
		}
		l.Iterate(width, 99)
		for lane := range width {
			want, err := pbkdf2.Key(gmsm.New, string([]byte{byte(lane)}), []byte("salt"), 100, 32)
			if err != nil {
				t.Fatal(err)
			}
			var out [32]byte
			var h [8]uint32
			l.Result(lane, &h)
			PutWords(out[:], &h)
			if !bytes.Equal(out[:], want) {
				t.Errorf("lane %d of %d: %x, want %x", lane, width, out, want)
			}
		}
		var st [8][MaxLanes]uint32
		var m [16][MaxLanes]uint32
		for lane := range width {
			for i := range st {
				st[i][lane] = iv[i]
			}
			for i := range m {
				m[i][lane] = uint32(i*31+lane) * 0x9e3779b9
			}
		}
		before := m
		BlockLanes(width, &st, &m)
		for lane := range width {
			s := iv
			var one [16]uint32
			for i := range one {
				one[i] = before[i][lane]
			}
			Block(&s, &one)
			for i := range s {
				if st[i][lane] != s[i] {
					t.Errorf("block, lane %d of %d: word %d is %08x, want %08x", lane, width, i, st[i][lane], s[i])
				}
			}
		}
	}
}

func TestWipe(t *testing.T) {
	var k Key
	var d Digest
	var l Lanes
	k.Init([]byte("marker"), &d)
	if d != (Digest{}) {
		t.Error("Init leaves its scratch")
	}
	l.SetKey(3, &k)
	k.Wipe()
	l.Wipe()
	if k != (Key{}) || l != (Lanes{}) {
		t.Error("Wipe leaves words")
	}
}

func BenchmarkIterate(b *testing.B) {
	var k Key
	var u, t [8]uint32
	k.Iterate(&u, &t, b.N)
}

func BenchmarkLanes(b *testing.B) {
	for _, width := range Widths() {
		b.Run(fmt.Sprint(width), func(b *testing.B) {
			var l Lanes
			l.Iterate(width, b.N)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(width), "ns/lane")
		})
	}
}

func BenchmarkGmsmWithStandardPBKDF2(b *testing.B) {
	if _, err := pbkdf2.Key(gmsm.New, "123456", []byte("saltsalt"), b.N, 32); err != nil {
		b.Fatal(err)
	}
}
