package sm

import (
	"io"

	"github.com/keposs/keposs/core"
)

// Bounds of the health tests. A source is assumed to give at least 4 bits of
// min-entropy in a byte and is tested with a false alarm of 2^-30 a sample
// (SP 800-90B 4.4); an operating system's source, which gives 8, practically
// never raises one. repeatCutoff is 1+⌈30/4⌉; adaptiveCutoff is one more than
// the smallest c with P[Bin(512, 2^-4) > c] ≤ 2^-30, recomputed in a test.
const (
	repeatCutoff   = 9
	adaptiveWindow = 512
	adaptiveCutoff = 71
	startupBytes   = 1250 // 10^4 bits
	// pokerHigh is passed by a good source with probability 1 − 10^-9: the
	// statistic of 2500 nibbles is χ² with 15 degrees of freedom.
	pokerHigh = 75
)

// monitored is an entropy source under continuous test. A failure is final.
type monitored struct {
	r     io.Reader
	last  byte
	run   int // times last was seen in a row; 0 before the first byte
	mark  byte
	marks int // times mark was seen in this window
	seen  int // bytes of this window
	err   error
}

// newMonitored runs the start-up test: 10^4 bits under the continuous tests
// and the poker test of GM/T 0062. They are not used afterwards.
// req: G-7.9-03, G-7.9-04
func newMonitored(r io.Reader) (*monitored, error) {
	m := &monitored{r: r}
	var b [startupBytes]byte
	defer clear(b[:])
	if err := m.read(b[:]); err != nil {
		return nil, err
	}
	if x := poker(b[:]); x > pokerHigh {
		return nil, m.fail("start-up poker test: the 4-bit groups are not evenly spread")
	}
	return m, nil
}

// poker is the χ² of the 4-bit groups of b against the uniform distribution.
func poker(b []byte) float64 {
	var count [16]int
	for _, v := range b {
		count[v>>4]++
		count[v&15]++
	}
	sum := 0
	for _, c := range count {
		sum += c * c
	}
	n := float64(2 * len(b))
	return 16/n*float64(sum) - n
}

func (m *monitored) fail(what string) error {
	m.err = core.Errorf(core.Integrity, "sm: entropy source", "%s; the module must not be used, restart it or repair the source", what)
	return m.err
}

// read fills p or fails for ever.
func (m *monitored) read(p []byte) error {
	if m.err != nil {
		return m.err
	}
	if _, err := io.ReadFull(m.r, p); err != nil {
		m.err = core.Errorf(core.Integrity, "sm: entropy source", "read %d bytes: %w", len(p), err)
		return m.err
	}
	for _, v := range p {
		if m.run > 0 && v == m.last {
			m.run++
		} else {
			m.last, m.run = v, 1
		}
		if m.run >= repeatCutoff {
			clear(p)
			return m.fail("repetition count test: the source is stuck")
		}
		if m.seen == 0 {
			m.mark, m.marks = v, 0
		}
		if v == m.mark {
			m.marks++
		}
		m.seen++
		if m.marks >= adaptiveCutoff {
			clear(p)
			return m.fail("adaptive proportion test: the source favours one value")
		}
		if m.seen == adaptiveWindow {
			m.seen = 0
		}
	}
	return nil
}

// seedLen is the length of V and C in bytes: 440 bits for SM3.
const seedLen = 55

// addMod sets v = v + x modulo 2^440, both big-endian, x aligned to the right.
func addMod(v *[seedLen]byte, x []byte) {
	var c uint
	for i, j := seedLen-1, len(x)-1; i >= 0; i, j = i-1, j-1 {
		w := uint(v[i]) + c
		if j >= 0 {
			w += uint(x[j])
		}
		v[i], c = byte(w), w>>8
	}
}
