package sm

import (
	"bytes"
	crand "crypto/rand"

	"github.com/keposs/keposs/core"
)

// SelfTests returns the known answers and what a start adds to them: the
// pair-wise test of a fresh key pair, the start-up test of the operating
// system's entropy source, and whether the two continuous tests notice a
// source that is stuck and one that favours a value. The caller runs them in
// order and stops at the first failure.
// req: G-7.10-01, G-7.10-02, G-7.9-03
func SelfTests() []KAT {
	return append(KATs(),
		passes("pair", func() error {
			k, err := GenerateKey(nil)
			if err != nil {
				return err
			}
			defer k.Wipe()
			return PairTest(k)
		}),
		passes("entropy-start-up", func() error {
			_, err := newMonitored(crand.Reader)
			return err
		}),
		passes("entropy-repetition", func() error {
			return noticed(bytes.Repeat([]byte{0x5a}, repeatCutoff))
		}),
		passes("entropy-proportion", func() error {
			b := make([]byte, adaptiveWindow)
			for i := range b { // every second byte is the same, none follows itself
				if i%2 == 1 {
					b[i] = byte(1 + i/2%255)
				}
			}
			return noticed(b)
		}),
	)
}

// passes makes a test of something that only succeeds or fails.
func passes(name string, run func() error) KAT {
	return KnownAnswer(name, "01", func() ([]byte, error) { return []byte{1}, run() })
}

// noticed says whether the continuous tests refuse a source that gives b.
func noticed(b []byte) error {
	m := &monitored{r: bytes.NewReader(b)}
	out := make([]byte, len(b))
	if m.read(out) == nil {
		return core.Errorf(core.Integrity, "sm: health test", "a broken source of %d bytes was not noticed", len(b))
	}
	return nil
}

// katExchange is the worked example of GM/T 0003.5 for the key exchange, both
// sides; the confirmations must match too.
func katExchange() ([]byte, error) {
	side := func(initiator bool, d, peer, nonce string) (*Exchange, error) {
		k, err := NewPrivateKey(unhex(d))
		if err != nil {
			return nil, err
		}
		p, err := NewPrivateKey(unhex(peer))
		if err != nil {
			return nil, err
		}
		x := &Exchange{initiator: initiator, key: k.s, peer: p.Public()}
		x.zSelf, x.zPeer = za(&k.s.pub, []byte(DefaultID)), za(&x.peer, []byte(DefaultID))
		r := [32]byte(unhex(nonce))
		x.begin(&r)
		return x, nil
	}
	const (
		a = "81eb26e941bb5af16df116495f90695272ae2cd63d6c4ae1678418be48230029"
		b = "785129917d45a9ea5437a59356b82338eaadda6ceb199088f14ae10defa229b5"
	)
	x, err := side(true, a, b, "d4de15474db74d06491c440d305e012400990f3e390c7e87153c12db2ea60bb3")
	if err != nil {
		return nil, err
	}
	defer x.Wipe()
	y, err := side(false, b, a, "7e07124814b309489125eaed101113164ebf0f3458c5bd88335c1f9d596243d6")
	if err != nil {
		return nil, err
	}
	defer y.Wipe()
	rx, ry := x.R(), y.R()
	if err := x.Agree(ry[:]); err != nil {
		return nil, err
	}
	if err := y.Agree(rx[:]); err != nil {
		return nil, err
	}
	if err := x.Confirm(y.Confirmation()); err != nil {
		return nil, err
	}
	key, err := x.Key(16)
	if err != nil {
		return nil, err
	}
	return key.Bytes(), nil
}
