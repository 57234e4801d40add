//go:build linux

package sm

import (
	"bytes"
	"fmt"
	"io"
	"math/big"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"github.com/emmansun/gmsm/sm2"

	"github.com/keposs/keposs/core/internal/mont"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/internal/memscan"
)

const residueEnv = "KEPOSS_SM_RESIDUE"

func TestMain(m *testing.M) {
	if mode := os.Getenv(residueEnv); mode != "" {
		residueChild(mode)
	}
	os.Exit(m.Run())
}

// masked is what the child gets: secrets only in masked form.
type masked struct {
	d, z []byte // private key, what the random source gives
}

// reader gives z for ever, unmasked straight into the reader's own buffer.
type maskedReader struct{ b []byte }

func (r maskedReader) Read(p []byte) (int, error) {
	n := copy(p, r.b)
	memscan.Mask(p[:n])
	return n, nil
}

// residueChild works with d in the mode asked for, says so, and idles until
// its input ends.
func residueChild(mode string) {
	in := masked{make([]byte, 32), make([]byte, 32)}
	for _, b := range [][]byte{in.d, in.z} {
		if _, err := io.ReadFull(os.Stdin, b); err != nil {
			os.Exit(1)
		}
	}
	if err := residueWork(mode, in); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	runtime.KeepAlive(kept)
	os.Exit(0)
}

var kept any

// plain is where the child unmasks d: not on the stack, whose growth would copy it.
var plain [32]byte

func residueWork(mode string, in masked) error {
	msg, id := []byte("residue"), []byte(DefaultID)
	load := func() (*PrivateKey, error) {
		_, _ = maskedReader{in.d}.Read(plain[:])
		k, err := NewPrivateKey(plain[:])
		clear(plain[:])
		return k, err
	}
	if mode == "gmsm" {
		_, _ = maskedReader{in.d}.Read(plain[:])
		k, err := sm2.NewPrivateKey(plain[:])
		clear(plain[:])
		if err != nil {
			return err
		}
		_, err = k.Sign(maskedReader{in.z}, msg, sm2.NewSM2SignerOption(true, id))
		wipeInt(k.D)
		k.D = new(big.Int)
		runtime.GC()
		return err
	}
	for i := range 100 {
		k, err := load()
		if err != nil {
			return err
		}
		switch mode {
		case "keep":
			kept = k
			return nil
		case "sign":
			_, err = k.Sign(maskedReader{in.z}, msg, id)
		case "decrypt":
			var ct []byte
			if ct, err = Encrypt(nil, k.Public(), msg); err == nil {
				var p *secret.Buffer
				p, err = k.Decrypt(ct)
				p.Wipe()
			}
		case "generate":
			k.Wipe()
			k, err = GenerateKey(maskedReader{in.d})
		case "products":
			_, _ = maskedReader{in.d}.Read(plain[:])
			p := k.Public()
			Products(&Product{K: &plain, P: &p}, &Product{K: &plain})
			clear(plain[:])
		case "digest":
			_, _ = maskedReader{in.d}.Read(plain[:])
			kept = SecretSM3(plain[:])
			clear(plain[:])
		case "sm3":
			_, _ = maskedReader{in.d}.Read(plain[:])
			kept = SM3(plain[:])
			clear(plain[:])
			k.Wipe()
			return nil
		case "exchange":
			err = residueExchange(k, in, id)
		}
		if err != nil {
			return err
		}
		s := k.Scalar()
		s.Wipe()
		k.Wipe()
		if i%10 == 9 {
			runtime.GC() // stacks may move and shrink
		}
	}
	return nil
}

func residueExchange(k *PrivateKey, in masked, id []byte) error {
	peer, err := GenerateKey(nil)
	if err != nil {
		return err
	}
	a, err := NewInitiator(k, id, peer.Public(), id, maskedReader{in.z})
	if err != nil {
		return err
	}
	defer a.Wipe()
	b, err := NewResponder(peer, id, k.Public(), id, nil)
	if err != nil {
		return err
	}
	ra, rb := a.R(), b.R()
	if err := a.Agree(rb[:]); err != nil {
		return err
	}
	if err := b.Agree(ra[:]); err != nil {
		return err
	}
	return a.Confirm(b.Confirmation())
}

// residuePatterns are d, (1+d)^-1 and the nonces of sign and exchange, each
// also in Montgomery form.
func residuePatterns(t *testing.T, d, z []byte, msg, id []byte) []memscan.Pattern {
	k, err := NewPrivateKey(d)
	if err != nil {
		t.Fatal(err)
	}
	var out []memscan.Pattern
	add := func(name string, e mont.Elem) {
		var b [32]byte
		order.Bytes(&b, &e)
		raw := make([]byte, 0, 32)
		for i := 3; i >= 0; i-- {
			raw = append(raw, byte(e[i]>>56), byte(e[i]>>48), byte(e[i]>>40), byte(e[i]>>32), byte(e[i]>>24), byte(e[i]>>16), byte(e[i]>>8), byte(e[i]))
		}
		for form, v := range map[string][]byte{name: b[:], name + "·R": raw} {
			p, err := memscan.Forms(form, v)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, p...)
		}
	}
	add("d", k.s.d)
	add("inverse", k.s.inv)
	e := messageHash(&k.s.pub, id, msg)
	zPeer := e
	for name, bound := range map[string]*[32]byte{"nonce": &e, "other": &zPeer} {
		var bind, nonce [32]byte
		k.s.bind(&bind, bound)
		if err := hedgedNonce(&nonce, bytes.NewReader(z), &bind); err != nil {
			t.Fatal(err)
		}
		var v mont.Elem
		order.SetBytes(&v, &nonce)
		add(name, v)
		p, err := memscan.Forms(name+" bind", bind[:])
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p...)
	}
	return out
}

// A process that signed, decrypted, multiplied, hashed d, made a key or agreed on
// one holds no copy of d, (1+d)^-1 or the nonce in any form; the three controls
// show that the scan sees what is there.
// req: TK-01, K-7.2-07, K-7.1-07, G-7.9-11, X-11
func TestNoCopyIsLeft(t *testing.T) {
	for _, mode := range []string{"sign", "decrypt", "generate", "products", "exchange", "digest", "keep", "gmsm", "sm3"} {
		t.Run(mode, func(t *testing.T) {
			k, err := GenerateKey(nil)
			if err != nil {
				t.Fatal(err)
			}
			d, z := k.Scalar().Bytes(), make([]byte, 32)
			if _, err := Rand().Read(z); err != nil {
				t.Fatal(err)
			}
			patterns := residuePatterns(t, d, z, []byte("residue"), []byte(DefaultID))
			cmd := exec.Command(os.Args[0])
			// A signal that meets a computation saves its registers to the stack, which
			// docs/sm.md does not claim to cover and a busy machine sends often.
			cmd.Env = append(os.Environ(), residueEnv+"="+mode, "GODEBUG=asyncpreemptoff=1")
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = in.Close(); _ = cmd.Wait() }()
			both := append(bytes.Clone(d), z...)
			memscan.Mask(both[:32])
			memscan.Mask(both[32:])
			if _, err := in.Write(both); err != nil {
				t.Fatal(err)
			}
			line := make([]byte, 6)
			if _, err := io.ReadFull(out, line); err != nil || string(line) != "ready\n" {
				t.Fatalf("child: %q %v", line, err)
			}
			finds, scanned, err := memscan.Scan(cmd.Process.Pid, patterns)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d finds in %d MiB", len(finds), scanned>>20)
			if mode == "keep" || mode == "gmsm" || mode == "sm3" {
				if len(finds) == 0 {
					t.Error("control: the scan does not see a key that is there")
				}
				return
			}
			for _, f := range finds {
				t.Errorf("%s", f)
			}
		})
	}
}
