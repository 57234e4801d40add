package enc_test

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/keposs/keposs/core/enc"
)

func TestJoinGolden(t *testing.T) {
	for _, c := range []struct {
		name  string
		items [][]byte
		want  string
	}{
		{"none", nil, "00000000"},
		{"one empty", [][]byte{{}}, "0000000100000000"},
		{"two", [][]byte{[]byte("ab"), enc.U32(7)}, "00000002000000026162" + "0000000400000007"},
		{"u64", [][]byte{enc.U64(1 << 40)}, "00000001" + "00000008" + "0000010000000000"},
	} {
		if got := hex.EncodeToString(enc.Join(c.items...)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// Attack test 3 at its root: moving bytes across a field border changes the encoding.
func FuzzJoinInjective(f *testing.F) {
	f.Add([]byte("ab"), []byte("c"), []byte("a"), []byte("bc"))
	f.Add([]byte{}, []byte{0}, []byte{0}, []byte{})
	f.Fuzz(func(t *testing.T, a, b, c, d []byte) {
		same := bytes.Equal(a, c) && bytes.Equal(b, d)
		if bytes.Equal(enc.Join(a, b), enc.Join(c, d)) != same {
			t.Errorf("enc(%x,%x) against enc(%x,%x)", a, b, c, d)
		}
		if bytes.Equal(enc.Join(a, b), enc.Join(a, b, nil)) {
			t.Error("a trailing empty item vanishes")
		}
	})
}
