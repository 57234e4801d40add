package hkdfsm3_test

import (
	"bytes"
	"crypto/hkdf"
	"encoding/hex"
	"encoding/json"
	"hash"
	"os"
	"testing"

	gmsm "github.com/emmansun/gmsm/sm3"

	"github.com/keposs/keposs/internal/testenv"
	"github.com/keposs/keposs/kdf/hkdfsm3"
)

func TestVectors(t *testing.T) {
	raw, err := os.ReadFile(testenv.Data(t, "vectors", "hkdf-sm3.json"))
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		Tests []struct {
			TC                           int
			IKM, Salt, Info, OKM, Result string
			Size                         int
		}
	}
	if err := json.Unmarshal(raw, &f); err != nil {
		t.Fatal(err)
	}
	valid := 0
	for _, v := range f.Tests {
		ikm, _ := hex.DecodeString(v.IKM)
		salt, _ := hex.DecodeString(v.Salt)
		info, _ := hex.DecodeString(v.Info)
		okm, _ := hex.DecodeString(v.OKM)
		out := make([]byte, v.Size)
		err := hkdfsm3.Key(ikm, salt, info, out)
		if v.Result != "valid" {
			if err == nil && bytes.Equal(out, okm) {
				t.Errorf("tc %d: an invalid case passes", v.TC)
			}
			continue
		}
		valid++
		if err != nil || !bytes.Equal(out, okm) {
			t.Errorf("tc %d: %x, %v, want %s", v.TC, out, err, v.OKM)
		}
	}
	if len(f.Tests) != 86 || valid != 83 {
		t.Errorf("%d vectors, %d valid; want 86, 83", len(f.Tests), valid)
	}
}

func FuzzAgainstStandardLibrary(f *testing.F) {
	f.Add([]byte("ikm"), []byte("salt"), []byte("info"), uint16(42))
	f.Add([]byte{}, []byte{}, []byte{}, uint16(8160))
	f.Fuzz(func(t *testing.T, ikm, salt, info []byte, n uint16) {
		size := int(n) % (hkdfsm3.MaxOut + 1)
		out := make([]byte, size)
		if err := hkdfsm3.Key(ikm, salt, info, out); err != nil {
			t.Fatal(err)
		}
		want, err := hkdf.Key(func() hash.Hash { return gmsm.New() }, ikm, salt, string(info), size)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(out, want) {
			t.Errorf("%x, want %x", out, want)
		}
	})
}
