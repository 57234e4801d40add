package mf

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/keposs/keposs/core/protocol"
)

// A KDF may be a plugin: what crosses to it and back holds neither MK nor RK.
// The last steps are core's own.
// req: K-15.2-02b, K-15.4-03, K-3-01
func TestMasterKeyStaysInCore(t *testing.T) {
	for _, text := range []string{"pin & face", wrapped3} {
		u := newUser(t, "boundary")
		u.kdf.seen = map[string]int{}
		s := u.enrol(u.params(text, protocol.ModePlain, 1))
		op := u.open(s, "pin", "face")
		mk := masterKey(op.rk.Bytes(), op.c.Policy.KeyID, op.c.Policy.MKGen)
		var crossed []byte
		for in := range u.kdf.seen {
			crossed = append(crossed, in...)
			i := strings.LastIndexByte(in, '|')
			out := make([]byte, 32)
			if err := (&countKDF{}).Derive(context.Background(), cheap(1), []byte(in[:i]), []byte(in[i+1:]), out); err != nil {
				t.Fatal(err)
			}
			crossed = append(crossed, out...)
		}
		if n := u.kdf.calls.Load(); n < 2 || len(crossed) < 64 { // enrolment and open
			t.Fatalf("%s: only %d calls crossed, %d bytes", text, n, len(crossed))
		}
		for name, key := range map[string][]byte{"MK": mk.Bytes(), "RK": op.rk.Bytes()} {
			for i := 0; i+16 <= len(key); i++ {
				if bytes.Contains(crossed, key[i:i+16]) {
					t.Errorf("%s: 16 bytes of %s crossed to the KDF or back", text, name)
				}
			}
			if !bytes.Contains(append(crossed, key...), key[:16]) {
				t.Error("control: a planted key is not found")
			}
		}
		mk.Wipe()
		op.Wipe()
	}
}
