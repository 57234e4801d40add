package mf

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
)

const veil = 0x5a // needles are kept veiled, so that the search does not find itself

func veiled(b []byte) []byte {
	out := make([]byte, len(b))
	for i := range b {
		out[i] = b[i] ^ veil
	}
	return out
}

// copies counts occurrences of each veiled needle in this process's writable
// memory.
func copies(t *testing.T, needles map[string][]byte) map[string]int {
	t.Helper()
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Skipf("process memory is not readable here: %v", err)
	}
	defer mem.Close()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Skipf("process maps are not readable here: %v", err)
	}
	found := map[string]int{}
	const chunk, overlap = 1 << 16, 64
	buf := make([]byte, chunk+overlap)
	sc := bufio.NewScanner(strings.NewReader(string(maps)))
	for sc.Scan() {
		var lo, hi int64
		var perm string
		if _, err := fmt.Sscanf(sc.Text(), "%x-%x %s", &lo, &hi, &perm); err != nil || !strings.HasPrefix(perm, "rw") || strings.Contains(sc.Text(), "[v") {
			continue
		}
		for at := lo; at < hi; at += chunk {
			n, err := mem.ReadAt(buf[:min(int64(len(buf)), hi-at)], at)
			if err != nil && err != io.EOF {
				break
			}
			// Veil what was read at once: the buffer is part of the memory too.
			for i := range buf[:n] {
				buf[i] ^= veil
			}
			for name, v := range needles {
				for i := 0; i+len(v) <= n && i < chunk; i++ {
					if buf[i] == v[0] && string(buf[i:i+len(v)]) == string(v) {
						found[name]++
					}
				}
			}
			clear(buf)
		}
	}
	return found
}

// Attack 23 at this level: after an open and Wipe, no copy of the anchor, RK,
// MK, the factors or the keys is left in the process.
// req: K-5.3-01b, K-15.4-03, X-11
func TestAttack23MemoryAfterUse(t *testing.T) {
	u := newUser(t, "")
	u.secrets["pin"] = []byte("memory-scan-pin-7351")
	s := u.enrol(u.params("pin & face", protocol.ModePlain, 1))
	u.bundle.Wipe()
	needles := map[string][]byte{}
	func() {
		op, err := u.attempt(s, u.check(s), []string{"pin", "face"}, u.secrets, false)
		if err != nil {
			t.Fatal(err)
		}
		b, err := op.OpenBlob(s.blob)
		if err != nil {
			t.Fatal(err)
		}
		mk := masterKey(op.rk.Bytes(), op.c.Policy.KeyID, op.c.Policy.MKGen)
		d := b.Sign.Scalar()
		for name, k := range map[string]*secret.Buffer{"anchor": op.anchor, "RK": op.rk, "MK": mk, "d_M": d} {
			needles[name] = veiled(k.Bytes())
		}
		needles["pin"] = veiled(u.secrets["pin"])
		// Planted: one buffer forgotten is found.
		if n := copies(t, needles); n["RK"] == 0 || n["MK"] == 0 || n["d_M"] == 0 || n["pin"] == 0 {
			t.Errorf("control: live secrets not found: %v", n)
		}
		secret.WipeAll(mk, d)
		b.Wipe()
		op.Wipe()
	}()
	for _, v := range u.secrets {
		secret.Zero(v)
	}
	u.device.Wipe()
	for name, n := range copies(t, needles) {
		t.Errorf("%d copies of %s are left", n, name)
	}
}
