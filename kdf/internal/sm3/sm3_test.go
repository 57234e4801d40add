package sm3

import (
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"encoding/binary"
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

// hmacVector is one test of Wycheproof.
type hmacVector struct {
	TcID                  int
	Key, Msg, Tag, Result string
	size                  int // of the tag, bytes
}

func wycheproof(t *testing.T) (out []hmacVector) {
	t.Helper()
	raw, err := os.ReadFile(testenv.Data(t, "vectors", "wycheproof-hmac_sm3_test.json"))
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		TestGroups []struct {
			TagSize int
			Tests   []hmacVector
		}
	}
	if err := json.Unmarshal(raw, &f); err != nil {
		t.Fatal(err)
	}
	for _, g := range f.TestGroups {
		for _, v := range g.Tests {
			v.size = g.TagSize / 8
			out = append(out, v)
		}
	}
	if len(out) != 174 {
		t.Errorf("%d vectors, want 174", len(out))
	}
	return out
}

func (v hmacVector) check(t *testing.T, form string, mac func(key, msg []byte) []byte) {
	t.Helper()
	key, _ := hex.DecodeString(v.Key)
	msg, _ := hex.DecodeString(v.Msg)
	tag, _ := hex.DecodeString(v.Tag)
	same := bytes.Equal(mac(key, msg)[:v.size], tag)
	if same != (v.Result == "valid") {
		t.Errorf("tc %d, %s: equal = %v, want %s", v.TcID, form, same, v.Result)
	}
}

func TestWycheproofHMAC(t *testing.T) {
	for _, v := range wycheproof(t) {
		v.check(t, "plain", func(key, msg []byte) []byte { return mac(key, msg) })
	}
}

// laneHash hashes m in one lane of width, another message of the same length in
// all others.
func laneHash(width, lane int, m []byte) []byte {
	size := len(m)
	m = append(bytes.Clone(m), 0x80)
	for len(m)%64 != 56 {
		m = append(m, 0)
	}
	m = binary.BigEndian.AppendUint64(m, uint64(8*size))
	var st [8][MaxLanes]uint32
	for i := range st {
		for l := range st[i] {
			st[i][l] = iv[i]
		}
	}
	for ; len(m) > 0; m = m[64:] {
		var b [16][MaxLanes]uint32
		for i := range b {
			for l := range b[i] {
				b[i][l] = binary.BigEndian.Uint32(m[4*i:])
				if l != lane {
					b[i][l] ^= uint32(l+1) * 0x9e3779b9
				}
			}
		}
		BlockLanes(width, &st, &b)
	}
	out := make([]byte, 0, Size)
	for i := range st {
		out = binary.BigEndian.AppendUint32(out, st[i][lane])
	}
	return out
}

// Every vector of HMAC in every lane of every width this build serves.
func TestWycheproofHMACInLanes(t *testing.T) {
	for _, v := range wycheproof(t) {
		for _, width := range Widths() {
			for lane := range width {
				v.check(t, fmt.Sprintf("lane %d of %d", lane, width), func(key, msg []byte) []byte {
					if len(key) > BlockSize {
						key = laneHash(width, lane, key)
					}
					var pads [2][BlockSize]byte
					for i := range BlockSize {
						k := byte(0)
						if i < len(key) {
							k = key[i]
						}
						pads[0][i], pads[1][i] = k^0x36, k^0x5c
					}
					return laneHash(width, lane, append(pads[1][:], laneHash(width, lane, append(pads[0][:], msg...))...))
				})
			}
		}
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
