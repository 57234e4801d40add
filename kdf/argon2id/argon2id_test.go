package argon2id_test

import (
	"encoding/hex"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/kdf/argon2id"
)

// Answers of the reference implementation's own test (version 0x13).
func TestVectors(t *testing.T) {
	for _, v := range []struct {
		password, salt, want string
		m, p, t              uint64
	}{
		{"password", "somesalt", "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7", 1 << 16, 1, 2},
		{"password", "somesalt", "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe", 1 << 8, 1, 2},
		{"password", "somesalt", "6d093c501fd5999645e0ea3bf620d7b8be7fd2db59c20d9fff9539da2bf57037", 1 << 8, 2, 2},
		{"differentpassword", "somesalt", "0b84d652cf6b0c4beaef0dfe278ba6a80df6696281d7e0d2891b817d8c458fde", 1 << 16, 1, 2},
	} {
		out := make([]byte, 32)
		p := core.NewParams(argon2id.Name, core.Param{Key: "m", N: v.m}, core.Param{Key: "p", N: v.p}, core.Param{Key: "t", N: v.t})
		err := argon2id.New().Derive(t.Context(), p, []byte(v.password), []byte(v.salt), out)
		if got := hex.EncodeToString(out); err != nil || got != v.want {
			t.Errorf("%s: %s, %v; want %s", p, got, err, v.want)
		}
	}
}
