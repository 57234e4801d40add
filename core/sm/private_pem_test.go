package sm_test

import (
	"bytes"
	"errors"
	"os/exec"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/sm"
)

func TestPrivatePEM(t *testing.T) {
	k, err := sm.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	text := k.PrivatePEM()
	again, err := sm.ParsePrivatePEM(text.Bytes())
	if err != nil || again.Public() != k.Public() {
		t.Fatalf("round trip: %v", err)
	}
	for _, bad := range [][]byte{nil, []byte("no key"), text.Bytes()[:100], k.Public().PEM()} {
		if _, err := sm.ParsePrivatePEM(bad); !errors.Is(err, core.Invalid) {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
	if _, err := sm.ParsePrivatePEM(make([]byte, 1<<20)); !errors.Is(err, core.TooLarge) {
		t.Error(err)
	}
	k.Wipe()
	if n := k.PrivatePEM().Len(); n != 0 {
		t.Errorf("%d bytes of a wiped key", n)
	}
}

// What OpenSSL writes is read, what is written OpenSSL reads, and another curve
// is refused.
func TestPrivatePEMOfOpenSSL(t *testing.T) {
	run := func(in []byte, args ...string) []byte {
		cmd := exec.Command("openssl", args...)
		cmd.Stdin = bytes.NewReader(in)
		out, err := cmd.Output()
		if err != nil {
			t.Skipf("openssl %v: %v", args, err)
		}
		return out
	}
	for _, args := range [][]string{{"genpkey", "-algorithm", "SM2"}, {"ecparam", "-name", "SM2", "-genkey"}} {
		text := run(nil, args...)
		k, err := sm.ParsePrivatePEM(text)
		if err != nil {
			t.Errorf("%v: %v", args, err)
			continue
		}
		pub, err := sm.ParsePEM(run(text, "pkey", "-pubout"))
		if err != nil || pub != k.Public() {
			t.Errorf("%v: another key was read: %v", args, err)
		}
		if pub, err = sm.ParsePEM(run(k.PrivatePEM().Bytes(), "pkey", "-pubout")); err != nil || pub != k.Public() {
			t.Errorf("openssl reads another key than was written: %v", err)
		}
	}
	p256 := run(nil, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
	if _, err := sm.ParsePrivatePEM(p256); !errors.Is(err, core.Invalid) {
		t.Errorf("a P-256 key: %v", err)
	}
}

func FuzzParsePrivatePEM(f *testing.F) {
	k, err := sm.GenerateKey(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(k.PrivatePEM().Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := sm.ParsePrivatePEM(b)
		if err != nil {
			return
		}
		again, err := sm.ParsePrivatePEM(k.PrivatePEM().Bytes())
		if err != nil || again.Public() != k.Public() {
			t.Errorf("what was read is not written again: %v", err)
		}
	})
}
