package sm

import (
	crand "crypto/rand"
	"encoding/binary"
	"io"
	"sync"
	"time"

	"github.com/keposs/keposs/core"
)

// Lengths of GM/T 0105: 32 bytes of entropy are its least; the nonce is half.
const (
	entropyLen = 32
	nonceLen   = 16
	blockLen   = 32 // most bytes one generate gives
)

// MaxAdditional bounds personalization and additional input in bytes.
const MaxAdditional = 1 << 16

// DRBGConfig sets the reseed rule. The zero value is level 1.
type DRBGConfig struct {
	// Level of GM/T 0028: 1 reseeds after 2^20 requests or 600 s, 2 after 2^10
	// requests or 60 s, whichever comes first. 0 means 1.
	Level int
	// Now tells the time for the rule; nil means time.Now.
	Now func() time.Time
}

// DRBG is the SM3 Hash_DRBG of GM/T 0105-2021 over a health-tested entropy
// source. It is safe for concurrent use. Each block of 32 bytes is one request
// of the reseed rule. Once its source fails, every call fails with Integrity.
// req: G-7.9-02, G-7.9-03
type DRBG struct {
	mu       sync.Mutex
	src      *monitored
	now      func() time.Time
	requests uint64 // most requests between reseeds
	interval time.Duration
	v, c     [seedLen]byte
	counter  uint64
	seeded   time.Time
	err      error
}

// NewDRBG instantiates a level-1 generator. entropy must give full-entropy
// bytes and is read under the generator's lock; personalization, at most
// MaxAdditional bytes, tells instances apart and may be nil. Errors: Integrity
// when the source fails its start-up test, Usage.
func NewDRBG(entropy io.Reader, personalization []byte) (*DRBG, error) {
	return NewDRBGWith(entropy, personalization, DRBGConfig{})
}

// NewDRBGWith is NewDRBG under another reseed rule.
func NewDRBGWith(entropy io.Reader, personalization []byte, cfg DRBGConfig) (*DRBG, error) {
	const op = "sm: drbg"
	if len(personalization) > MaxAdditional {
		return nil, core.Errorf(core.Usage, op, "personalization of %d bytes, at most %d", len(personalization), MaxAdditional)
	}
	d := &DRBG{now: cfg.Now}
	if d.now == nil {
		d.now = time.Now
	}
	var err error
	if d.requests, d.interval, err = reseedRule(cfg.Level); err != nil {
		return nil, err
	}
	if d.src, err = newMonitored(entropy); err != nil {
		return nil, err
	}
	guarded(func() {
		var seed [entropyLen + nonceLen]byte
		if err = d.src.read(seed[:]); err == nil {
			d.seed(seed[:], personalization)
		}
		clear(seed[:])
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// reseedRule gives the most requests and the longest time between reseeds.
func reseedRule(level int) (uint64, time.Duration, error) {
	switch level {
	case 0, 1:
		return 1 << 20, 600 * time.Second, nil
	case 2:
		return 1 << 10, 60 * time.Second, nil
	}
	return 0, 0, core.Errorf(core.Usage, "sm: drbg", "level %d: want 1 or 2", level)
}

// tighten has the generator reseed by a level's rule too. It never loosens.
func (d *DRBG) tighten(level int) error {
	requests, interval, err := reseedRule(level)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.requests, d.interval = min(d.requests, requests), min(d.interval, interval)
	return nil
}

// seed sets V = Hash_df(parts), C = Hash_df(0 ‖ V) and starts the count.
func (d *DRBG) seed(parts ...[]byte) {
	hashDF(&d.v, parts...)
	hashDF(&d.c, []byte{0}, d.v[:])
	d.counter, d.seeded = 1, d.now()
}

// hashDF is the derivation function of 440 bits. out may alias a part.
func hashDF(out *[seedLen]byte, parts ...[]byte) {
	var all [2 * blockLen]byte
	in := make([][]byte, 0, len(parts)+1)
	head := []byte{0, 0, 0, seedLen * 8 >> 8, seedLen * 8 & 0xff}
	in = append(append(in, head), parts...)
	for i := range 2 {
		head[0] = byte(i + 1)
		digest((*[32]byte)(all[32*i:]), in...)
	}
	copy(out[:], all[:])
	clear(all[:])
}

// reseed sets V from 01 ‖ entropy ‖ V, the order of GM/T 0105.
func (d *DRBG) reseed(additional []byte) error {
	var e [entropyLen]byte
	defer clear(e[:])
	if err := d.src.read(e[:]); err != nil {
		return err
	}
	d.seed([]byte{1}, e[:], d.v[:], additional)
	return nil
}

// Reseed takes fresh entropy at once. Errors: Integrity.
func (d *DRBG) Reseed() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err == nil {
		guarded(func() { d.err = d.reseed(nil) })
	}
	return d.err
}

// generate gives up to 32 bytes.
func (d *DRBG) generate(out, additional []byte) error {
	if d.counter > d.requests || d.now().Sub(d.seeded) >= d.interval {
		if err := d.reseed(additional); err != nil {
			return err
		}
		additional = nil
	}
	var w, h [32]byte
	if len(additional) > 0 {
		digest(&w, []byte{2}, d.v[:], additional)
		addMod(&d.v, w[:])
		clear(w[:])
	}
	digest(&w, d.v[:])
	copy(out, w[:])
	digest(&h, []byte{3}, d.v[:])
	addMod(&d.v, h[:])
	addMod(&d.v, d.c[:])
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], d.counter)
	addMod(&d.v, n[:])
	d.counter++
	clear(w[:])
	clear(h[:])
	return nil
}

// Read fills p. It never returns fewer bytes without an error, and on error p
// is all zero. Errors: Integrity.
func (d *DRBG) Read(p []byte) (int, error) {
	if err := d.ReadWith(p, nil); err != nil {
		return 0, err
	}
	return len(p), nil
}

// ReadWith fills p with additional, at most MaxAdditional bytes, as additional
// input: it adds to what an attacker must know and is no substitute for
// entropy. Errors: Integrity, Usage.
func (d *DRBG) ReadWith(p, additional []byte) error {
	if len(additional) > MaxAdditional {
		clear(p)
		return core.Errorf(core.Usage, "sm: drbg", "additional input of %d bytes, at most %d", len(additional), MaxAdditional)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	guarded(func() {
		for rest := p; d.err == nil && len(rest) > 0; {
			n := min(len(rest), blockLen)
			d.err = d.generate(rest[:n], additional)
			rest = rest[n:]
		}
	})
	if d.err != nil {
		clear(p)
	}
	return d.err
}

// module is the generator behind Rand.
var module struct {
	once sync.Once
	d    *DRBG
	err  error
}

type moduleReader struct{}

// get starts the generator once the known answers are right: whatever makes a
// key, signs, encrypts or talks draws here first, so that no algorithm is used
// untested, also by programs that never open a module.
// req: G-7.10-04
func (moduleReader) get() (*DRBG, error) {
	module.once.Do(func() {
		for _, k := range KATs() {
			if module.err = k.Run(); module.err != nil {
				return
			}
		}
		module.d, module.err = NewDRBG(crand.Reader, []byte("keposs module"))
	})
	return module.d, module.err
}

// Read implements io.Reader.
func (m moduleReader) Read(p []byte) (int, error) {
	d, err := m.get()
	if err != nil {
		clear(p)
		return 0, err
	}
	return d.Read(p)
}

// ReadWith implements hedging.
func (m moduleReader) ReadWith(p, additional []byte) error {
	d, err := m.get()
	if err != nil {
		clear(p)
		return err
	}
	return d.ReadWith(p, additional)
}

// Rand returns the module's generator: one DRBG over the operating system's
// source, started at its first use. Safe for concurrent use. Errors: Integrity,
// for ever once the source failed.
func Rand() io.Reader { return moduleReader{} }

// TightenRand has the module's generator reseed by the rule of a level of
// GM/T 0028, 1 or 2, from now on; of several calls the strictest counts.
// Errors: Integrity, Usage.
// req: G-7.9-02
func TightenRand(level int) error {
	d, err := moduleReader{}.get()
	if err != nil {
		return err
	}
	return d.tighten(level)
}
