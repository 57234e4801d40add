package oprf

import (
	"encoding/hex"
	"testing"
)

// Three inputs on which two independent programs agree.
func TestHashToCurve(t *testing.T) {
	for msg, want := range map[string]string{
		"":                 "80048bf6454de460598966bc3bc9a3213e8776668817d85cf447eda370991a41cf41fd9fa681d1416ddb5129e570bef4d74c4e0c1a5be8009717eb1c02e8e9e9",
		"abc":              "7cf8871dffcb584997d9b27cbc1b12308eec4544f38688f7b8c53531afb9fdcde803123cc855d859d58857cbea53c0cf0187b160e3a4996a9260879a1b059203",
		"abcdef0123456789": "9fbfac2f80e2492165c664f1329a2e8391d39ec33e6c7a57c0e582d17e533c0e733e1148256a3fcb971b89789755fd8e8c292b7e82a67ab38c46a827b6cacc0b",
	} {
		var r proj
		var q point
		sm2.hashToCurve(&r, "QUUX-V01-CS02-with-SM2_XMD:SM3_SSWU_RO_", []byte(msg))
		if !sm2.store(&q, &r) || hex.EncodeToString(q[:]) != want {
			t.Errorf("%q: %x\nwant %s", msg, q, want)
		}
	}
}
