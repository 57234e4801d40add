package sm2kdf_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	gmsm "github.com/emmansun/gmsm/sm3"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/internal/testenv"
	"github.com/keposs/keposs/kdf/sm2kdf"
)

// reference is clause 5.4.3 as its text reads.
func reference(z []byte, n int) (out []byte) {
	for ct := uint32(1); len(out) < n; ct++ {
		h := gmsm.Sum(binary.BigEndian.AppendUint32(bytes.Clone(z), ct))
		out = append(out, h[:]...)
	}
	return out[:n]
}

// req: K-6.1-02a, K-15.2-02a
func TestKnownAnswer(t *testing.T) {
	out := make([]byte, 16)
	sm2kdf.Expand([]byte("KEPOSS-KDF-KAT"), out)
	if got := hex.EncodeToString(out); got != "670ad7b9239df899650a6ea0d7cb51ab" {
		t.Errorf("got %s", got)
	}
	for _, n := range []int{0, 1, 16, 31, 32, 33, 48, 64, 100, 1000} {
		out := make([]byte, n)
		sm2kdf.Expand([]byte("some z"), out)
		if want := reference([]byte("some z"), n); !bytes.Equal(out, want) {
			t.Errorf("%d bytes: %x, want %x", n, out, want)
		}
	}
}

// The two KDF calls embedded in the standard's worked examples.
func TestOfficialVectors(t *testing.T) {
	raw, err := os.ReadFile(testenv.Data(t, "vectors", "gmt0003.5-official.json"))
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		KDF []struct {
			Comment, Z, Out string
			Len             int
		} `json:"sm3_kdf"`
	}
	if err := json.Unmarshal(raw, &f); err != nil {
		t.Fatal(err)
	}
	if len(f.KDF) != 2 {
		t.Fatalf("%d vectors, want 2", len(f.KDF))
	}
	for _, v := range f.KDF {
		z, err := hex.DecodeString(v.Z)
		if err != nil {
			t.Fatal(err)
		}
		out := make([]byte, v.Len)
		sm2kdf.Expand(z, out)
		if hex.EncodeToString(out) != v.Out {
			t.Errorf("%s: %x, want %s", v.Comment, out, v.Out)
		}
	}
}

func FuzzDerive(f *testing.F) {
	f.Add([]byte("123456"), []byte("salt"), uint16(32))
	f.Add([]byte{}, []byte{}, uint16(0))
	f.Fuzz(func(t *testing.T, secret, salt []byte, n uint16) {
		if len(salt) > sm2kdf.MaxSalt {
			salt = salt[:sm2kdf.MaxSalt]
		}
		out := make([]byte, n)
		if err := sm2kdf.New().Derive(t.Context(), core.NewParams(sm2kdf.Name), secret, salt, out); err != nil {
			t.Fatal(err)
		}
		if want := reference(enc.Join(secret, salt), int(n)); !bytes.Equal(out, want) {
			t.Errorf("%x, want %x", out, want)
		}
	})
}
