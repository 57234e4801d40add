package sm

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/emmansun/gmsm/drbg"

	"github.com/keposs/keposs/core"
)

// The generator equals gmsm's over seeds, reseeds and additional input.
func TestDRBGAgainstGmsm(t *testing.T) {
	for i := range 50 {
		e, pers, add := make([]byte, 32+16+32), make([]byte, i), make([]byte, i%7)
		for _, b := range [][]byte{e, pers, add} {
			_, _ = rand.Read(b)
		}
		their, err := drbg.NewGMHashDrbg(drbg.SECURITY_LEVEL_ONE, e[:32], e[32:48], pers)
		if err != nil {
			t.Fatal(err)
		}
		d := &DRBG{src: &monitored{r: bytes.NewReader(e[48:])}, now: time.Now, requests: math.MaxUint64, interval: math.MaxInt64}
		d.seed(e[:32], e[32:48], pers)
		for j := range 40 {
			if j == 20 {
				if err := errors.Join(d.Reseed(), their.Reseed(e[48:], nil)); err != nil {
					t.Fatal(err)
				}
			}
			a, b := make([]byte, 1+j%32), make([]byte, 1+j%32)
			if err := d.ReadWith(a, add); err != nil {
				t.Fatal(err)
			}
			if _, err := their.Generate(b, add); err != nil || !bytes.Equal(a, b) {
				t.Fatalf("%d, %d: %x, gmsm %x, %v", i, j, a, b, err)
			}
		}
	}
}

// counting counts the bytes it gives.
type counting struct{ n int }

func (c *counting) Read(p []byte) (int, error) {
	c.n += len(p)
	return rand.Read(p)
}

// req: G-7.9-02, K-15.1-01
func TestReseedRule(t *testing.T) {
	for _, c := range []struct {
		level, requests int
		interval        time.Duration
	}{{1, 1 << 20, 600 * time.Second}, {2, 1 << 10, 60 * time.Second}} {
		now := time.Unix(0, 0)
		src := new(counting)
		d, err := NewDRBGWith(src, nil, DRBGConfig{Level: c.level, Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		base := src.n
		buf := make([]byte, 32*256)
		for range c.requests / 256 {
			_, _ = d.Read(buf)
		}
		if src.n != base {
			t.Errorf("level %d: reseeded before %d requests", c.level, c.requests)
		}
		_, _ = d.Read(buf[:1])
		if src.n != base+entropyLen {
			t.Errorf("level %d: not reseeded after %d requests", c.level, c.requests)
		}
		now = now.Add(c.interval - 1)
		_, _ = d.Read(buf[:1])
		if src.n != base+entropyLen {
			t.Errorf("level %d: reseeded before %s", c.level, c.interval)
		}
		now = now.Add(1)
		_, _ = d.Read(buf[:1])
		if src.n != base+2*entropyLen {
			t.Errorf("level %d: not reseeded after %s", c.level, c.interval)
		}
	}
	if _, err := NewDRBGWith(rand.Reader, nil, DRBGConfig{Level: 3}); !errors.Is(err, core.Usage) {
		t.Error(err)
	}
}

// A generator under way takes a stricter rule over and never a looser one.
// req: G-7.9-02
func TestTighten(t *testing.T) {
	src := new(counting)
	d, err := NewDRBG(src, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, level := range []int{2, 1} {
		if err := d.tighten(level); err != nil {
			t.Fatal(err)
		}
	}
	base, buf := src.n, make([]byte, blockLen*(1<<10+1))
	if _, err := d.Read(buf); err != nil || src.n != base+entropyLen {
		t.Errorf("%d bytes of entropy after 1025 requests, want %d; %v", src.n-base, entropyLen, err)
	}
	if err := d.tighten(3); !errors.Is(err, core.Usage) {
		t.Errorf("level 3: %v", err)
	}
}

// after gives n good bytes and then those of bad.
type after struct {
	n   int
	bad func(p []byte)
}

func (a *after) Read(p []byte) (int, error) {
	_, _ = rand.Read(p)
	if a.n -= len(p); a.n < 0 {
		a.bad(p)
	}
	return len(p), nil
}

// req: G-7.9-03, G-7.10-09, K-15.1-01, G-7.9-05
func TestBrokenSources(t *testing.T) {
	stuck := func(p []byte) { clear(p) }
	biased := func(p []byte) {
		for i := range p {
			if i%4 == 0 {
				p[i] = 7
			}
		}
	}
	nibble := func(p []byte) {
		for i := range p {
			p[i] &= 0x0f
		}
	}
	for name, src := range map[string]io.Reader{
		"stuck": &after{0, stuck}, "biased": &after{0, biased}, "half of each byte": &after{0, nibble},
		"ends": bytes.NewReader(make([]byte, 10)), "stuck at seeding": &after{startupBytes, stuck},
	} {
		if d, err := NewDRBG(src, nil); !errors.Is(err, core.Integrity) || d != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	d, err := NewDRBG(&after{startupBytes + entropyLen + nonceLen, stuck}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := []byte{1, 2, 3}
	if _, err := d.Read(p); err != nil {
		t.Fatal(err)
	}
	if err := d.Reseed(); !errors.Is(err, core.Integrity) {
		t.Errorf("stuck at reseeding: %v", err)
	}
	for range 2 {
		if _, err := d.Read(p); !errors.Is(err, core.Integrity) || !bytes.Equal(p, make([]byte, 3)) {
			t.Errorf("a failed generator gives %x, %v", p, err)
		}
	}
	k, _ := NewPrivateKey(unhex(katD))
	if _, err := k.Sign(d, []byte("m"), []byte(DefaultID)); !errors.Is(err, core.Integrity) {
		t.Errorf("signing from a failed generator: %v", err)
	}
}

// The cut-off is the one SP 800-90B 4.4.2 gives for 4 bits a byte.
func TestAdaptiveCutoff(t *testing.T) {
	p, q := 1.0/16, 15.0/16
	tail, c := 0.0, adaptiveWindow
	for ; c >= 0; c-- {
		l1, _ := math.Lgamma(adaptiveWindow + 1)
		l2, _ := math.Lgamma(float64(c) + 1)
		l3, _ := math.Lgamma(float64(adaptiveWindow-c) + 1)
		if tail += math.Exp(l1 - l2 - l3 + float64(c)*math.Log(p) + float64(adaptiveWindow-c)*math.Log(q)); tail > math.Exp2(-30) {
			break
		}
	}
	if adaptiveCutoff != c+1 {
		t.Errorf("cut-off %d, want %d", adaptiveCutoff, c+1)
	}
}

func TestRandIsConcurrent(t *testing.T) {
	var mu sync.Mutex
	seen := map[[16]byte]bool{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				var b [16]byte
				_, err := Rand().Read(b[:])
				mu.Lock()
				if err != nil || seen[b] {
					t.Errorf("%x %v", b, err)
				}
				seen[b] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}
