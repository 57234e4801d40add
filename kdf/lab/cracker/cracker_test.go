package cracker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/kdf"
	"github.com/keposs/keposs/kdf/lab/cracker"
)

func target(t testing.TB, text, pin string, salt []byte) cracker.Target {
	t.Helper()
	p, err := core.ParseParams(text)
	if err != nil {
		t.Fatal(err)
	}
	k, err := kdf.Builtin(p.Name)
	if err != nil {
		t.Fatal(err)
	}
	key := make([]byte, 32)
	if err := k.Derive(t.Context(), p, []byte(pin), salt, key); err != nil {
		t.Fatal(err)
	}
	return cracker.Target{KDF: k, Params: p, Salt: salt, Key: key}
}

// Every kernel finds the guess the defender's own code derived from, in every
// lane and width, among guesses of mixed lengths, and finds nothing else.
func TestFinds(t *testing.T) {
	for _, text := range []string{
		"pbkdf2sm3$i=1024", "pbkdf2sm3$i=4100", "pbkdf2sm3$i=1024,w=3", "sm2kdf$", "hkdfsm3$", "balloonsm3$s=40,t=3",
		"hybrid$i=1024,m=64,p=1,t=1", "argon2id$m=64,p=1,t=1", "scrypt$ln=4,p=1,r=1", "bcrypt$c=4", "sm3crypt$r=1000",
	} {
		for _, saltLen := range []int{8, 32, 100} {
			salt := make([]byte, saltLen)
			for i := range salt {
				salt[i] = byte(7 * i)
			}
			for _, width := range cracker.Widths() {
				if probe, err := cracker.NewWidth(target(t, text, "1", salt), width); err != nil || probe.Batch() == 1 && (saltLen != 32 || width > 1) && !strings.Contains(text, "sm3") {
					if err != nil {
						t.Fatal(err)
					}
					continue // the defender's own code: once is enough
				}
				for _, at := range []int{2, 4, 23} {
					guesses := []string{"1-2-5-8-9", "1234", "", "7", "a guess of 36 bytes, longer than lanes"}
					for i := range 21 {
						guesses = append(guesses, fmt.Sprintf("%06d", 1000*i))
					}
					tg := target(t, text, guesses[at], salt)
					k, err := cracker.NewWidth(tg, width)
					if err != nil {
						t.Fatal(err)
					}
					if got, err := k.Try(t.Context(), guesses); err != nil || got != at {
						t.Fatalf("%s, %d bytes of salt, %d lanes (%s): found %d, %v; want %d", text, saltLen, width, k.Form(), got, err, at)
					}
					if at != 23 {
						continue
					}
					if got, err := k.Try(t.Context(), append(guesses[:at:at], guesses[at+1:]...)); err != nil || got != -1 {
						t.Fatalf("%s: found %d, %v without the right guess", text, got, err)
					}
				}
			}
		}
	}
}

func TestRefuses(t *testing.T) {
	good := target(t, "pbkdf2sm3$i=1024", "1", make([]byte, 8))
	for name, change := range map[string]func(*cracker.Target){
		"short key":  func(x *cracker.Target) { x.Key = x.Key[:31] },
		"no kdf":     func(x *cracker.Target) { x.KDF = nil },
		"parameters": func(x *cracker.Target) { x.Params = core.NewParams("pbkdf2sm3", core.Param{Key: "i", N: 1 << 40}) },
	} {
		bad := good
		change(&bad)
		if _, err := cracker.New(bad); core.CodeOf(err) != core.Invalid && core.CodeOf(err) != core.TooLarge {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := cracker.NewWidth(good, 5); !errors.Is(err, core.Unsupported) {
		t.Errorf("5 lanes: %v", err)
	}
	k, err := cracker.New(good)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Try(t.Context(), make([]string, cracker.MaxBatch+1)); !errors.Is(err, core.TooLarge) {
		t.Errorf("too many guesses: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := k.Try(ctx, []string{"2"}); !errors.Is(err, core.Canceled) {
		t.Errorf("a canceled search: %v", err)
	}
}

func BenchmarkTry(b *testing.B) {
	guesses := make([]string, 4096)
	for i := range guesses {
		guesses[i] = fmt.Sprintf("%06d", i)
	}
	for _, text := range []string{"sm2kdf$", "hkdfsm3$", "pbkdf2sm3$i=1024"} {
		for _, width := range cracker.Widths() {
			b.Run(fmt.Sprintf("%s/%d", text, width), func(b *testing.B) {
				tg := target(b, text, "none", make([]byte, 32))
				k, err := cracker.NewWidth(tg, width)
				if err != nil {
					b.Fatal(err)
				}
				for b.Loop() {
					if _, err := k.Try(b.Context(), guesses[:width]); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(width), "ns/guess")
			})
		}
	}
}
