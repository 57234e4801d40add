package scrypt_test

import (
	"encoding/hex"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/kdf/scrypt"
)

// RFC 7914, section 12: the second answer, whose salt of four bytes is under
// the contract's bound, is checked as refused.
func TestVectors(t *testing.T) {
	p := core.NewParams(scrypt.Name, core.Param{Key: "ln", N: 14}, core.Param{Key: "p", N: 1}, core.Param{Key: "r", N: 8})
	out := make([]byte, 64)
	err := scrypt.New().Derive(t.Context(), p, []byte("pleaseletmein"), []byte("SodiumChloride"), out)
	const want = "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887"
	if got := hex.EncodeToString(out); err != nil || got != want {
		t.Errorf("%s, %v", got, err)
	}
	if err := scrypt.New().Derive(t.Context(), p, []byte("password"), []byte("NaCl"), out); core.CodeOf(err) != core.Invalid {
		t.Errorf("a salt of four bytes: %v", err)
	}
}
