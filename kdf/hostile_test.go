package kdf_test

import (
	"context"
	"crypto/pbkdf2"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	gmsm "github.com/emmansun/gmsm/sm3"
	"golang.org/x/crypto/argon2"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/kdf"
)

// accept is what a program does with a stored text: parse, validate, derive.
func accept(ctx context.Context, text string) error {
	p, err := core.ParseParams(text)
	if err != nil {
		return err
	}
	k, err := kdf.Builtin(p.Name)
	if err != nil {
		return err
	}
	if err := k.Validate(p, core.Limits{MaxMemory: 1 << 50}); err != nil {
		return err
	}
	return k.Derive(ctx, p, []byte("123456"), make([]byte, 32), make([]byte, 32))
}

// Hostile texts of every parameter of every KDF are refused by the parameter's
// name, before anything worth a megabyte is allocated and at once.
func TestHostileTexts(t *testing.T) {
	for _, name := range kdf.Names() {
		k, err := kdf.Builtin(name)
		if err != nil {
			t.Fatal(err)
		}
		in, err := k.Describe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		base := in.Default.String()
		texts := map[string]string{ // text → what its refusal must name
			base + strings.Repeat("0", 1<<16):               "bytes",
			name + "$" + strings.Repeat("i=1024,", 100_000): "bytes",
			strings.ToUpper(name) + base[len(name):]:        "name$key=n",
			"md5" + base[len(name):]:                        "md5",
			strings.Replace(base, "$", "", 1):               "name$key=n",
			strings.Replace(base+",zz=1", "$,", "$", 1):     "zz",
			base + " ": "",
			base + "$": "",
			strings.Replace(base+",i=5000", "$,", "$", 1):  "",
			strings.Replace(base+",i=5,i=5", "$,", "$", 1): "",
			strings.Replace(base+",\x00=1", "$,", "$", 1):  "",
			strings.Replace(base+",i=１０２４", "$,", "$", 1):  "",
		}
		for _, p := range in.Params {
			n, ok := in.Default.Get(p.Key)
			if !ok {
				continue
			}
			for _, v := range []string{"1099511627776", "18446744073709551615", "18446744073709551616", "-1", "-0", "+1024", "01024", "0x400", "1e3",
				"1.5", "", "0", "٣", fmt.Sprint(p.Max + 1), strings.Repeat("9", 90)} {
				text := strings.Replace(base, fmt.Sprintf("%s=%d", p.Key, n), p.Key+"="+v, 1)
				texts[text] = p.Key
			}
		}
		for text, want := range texts {
			var a, b runtime.MemStats
			runtime.ReadMemStats(&a)
			start := time.Now()
			err := accept(t.Context(), text)
			took := time.Since(start)
			runtime.ReadMemStats(&b)
			switch code := core.CodeOf(err); {
			case code != core.Invalid && code != core.TooLarge && code != core.NotFound:
				t.Errorf("%.60q: %v", text, err)
			case want != "" && !strings.Contains(err.Error(), want):
				t.Errorf("%.60q: %q does not name %q", text, err, want)
			case len(err.Error()) > 400:
				t.Errorf("%.60q: an error of %d bytes", text, len(err.Error()))
			case b.TotalAlloc-a.TotalAlloc > 1<<20 || took > time.Second:
				t.Errorf("%.60q: %d bytes and %v to be refused", text, b.TotalAlloc-a.TotalAlloc, took)
			}
		}
	}
}

// A TiB of memory is refused whatever the caller's limits allow.
func TestTerabyte(t *testing.T) {
	for _, text := range []string{
		"argon2id$m=1073741824,p=1,t=1", "argon2id$m=4194304,p=1,t=1", "hybrid$i=1024,m=1073741824,p=1,t=1", "hybrid$i=1024,m=4194304,p=1,t=1",
		"scrypt$ln=24,p=1,r=64", "scrypt$ln=33,p=1,r=1", "balloonsm3$s=34359738368,t=1", "balloonsm3$s=67108864,t=1",
	} {
		var a, b runtime.MemStats
		runtime.ReadMemStats(&a)
		err := accept(t.Context(), text)
		runtime.ReadMemStats(&b)
		if core.CodeOf(err) != core.TooLarge || b.TotalAlloc-a.TotalAlloc > 1<<20 {
			t.Errorf("%s: %v, %d bytes", text, err, b.TotalAlloc-a.TotalAlloc)
		}
	}
}

// hybridReference joins both parts by other code.
func hybridReference(p core.Params, secret, salt []byte, n int) ([]byte, error) {
	i, _ := p.Get("i")
	m, _ := p.Get("m")
	lanes, _ := p.Get("p")
	passes, _ := p.Get("t")
	t1, err := pbkdf2.Key(gmsm.New, string(secret), salt, int(i), 32)
	t2 := argon2.IDKey(secret, enc.Join(enc.Str("hybrid"), salt), uint32(passes), uint32(m), uint8(lanes), 32)
	return sm.KDF(enc.Join(enc.Str("hybrid"), t1, t2), n), err
}
