package balloonsm3

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"testing"
)

type sha256Hash struct{ hash.Hash }

func (h sha256Hash) Write(p []byte) (int, error) { return h.Hash.Write(p) }
func (h sha256Hash) Final(out *[32]byte)         { h.Sum(out[:0]) }
func (h sha256Hash) Wipe()                       { h.Reset() }

// The public vectors are over SHA-256; only the hash differs.
func TestVectors(t *testing.T) {
	for _, v := range []struct {
		password, salt string
		s, t           int
		want           string
	}{
		{"hunter42", "examplesalt", 1024, 3, "716043dff777b44aa7b88dcbab12c078abecfac9d289c5b5195967aa63440dfb"},
		{"", "salt", 3, 3, "5f02f8206f9cd212485c6bdf85527b698956701ad0852106f94b94ee94577378"},
		{"password", "", 3, 3, "20aa99d7fe3f4df4bd98c655c5480ec98b143107a331fd491deda885c4d6a6cc"},
		{"\x00", "\x00", 3, 3, "4fc7e302ffa29ae0eac31166cee7a552d1d71135f4e0da66486fb68a749b73a4"},
		{"password", "salt", 1, 1, "eefda4a8a75b461fa389c1dcfaf3e9dfacbc26f81f22e6f280d15cc18c417545"},
	} {
		var out [32]byte
		if err := balloon(t.Context(), sha256Hash{sha256.New()}, []byte(v.password), []byte(v.salt), v.s, v.t, &out); err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(out[:]); got != v.want {
			t.Errorf("%q %q s=%d t=%d: %s, want %s", v.password, v.salt, v.s, v.t, got, v.want)
		}
	}
}
