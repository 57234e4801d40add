package memory

import (
	"bytes"
	"testing"

	"github.com/keposs/keposs/core"
)

// seen is what a log said.
type seen struct {
	records []string
	fence   uint64
}

func (s *seen) put(r core.Record, deleted bool) {
	if deleted {
		r.Hot = []byte("deleted")
	}
	s.records = append(s.records, string(r.Key)+"="+string(r.Hot))
}

func (s *seen) fenced(f uint64) { s.fence = max(s.fence, f) }

// written is a log of two records and a fence, and where each entry ends.
func written() (log []byte, ends []int) {
	j := &journal{}
	for _, add := range []func(){
		func() {
			j.add(core.Record{Key: core.Key("first"), Version: 1, Hot: []byte("one"), Blob: []byte("blob")}, false)
		},
		func() { j.addFence(7) },
		func() { j.add(core.Record{Key: core.Key("second"), Version: 2}, true) },
	} {
		add()
		ends = append(ends, len(j.buf))
	}
	return j.buf, ends
}

// Whatever bit changes, in a length too, the log is Corrupt and not shorter.
func TestEveryBitOfTheLogCounts(t *testing.T) {
	log, _ := written()
	for i := range len(log) * 8 {
		bad := bytes.Clone(log)
		bad[i/8] ^= 1 << (i % 8)
		if _, err := replay(bad, (&seen{}).put, (&seen{}).fenced); core.CodeOf(err) != core.Corrupt {
			t.Errorf("bit %d of %d: %v, want corrupt", i, len(log)*8, err)
		}
	}
}

// A log cut anywhere, also with zeros behind the cut where an entry would begin,
// is the log of the entries before the cut.
func TestShortLog(t *testing.T) {
	log, ends := written()
	whole := 0
	for n := range len(log) + 1 {
		if whole < len(ends) && n == ends[whole] {
			whole++
		}
		want := 0
		if whole > 0 {
			want = ends[whole-1]
		}
		var s seen
		size, err := replay(log[:n], s.put, s.fenced)
		if err != nil || size != int64(want) {
			t.Errorf("%d bytes: %d kept, %v, want %d", n, size, err, want)
		}
		if (s.fence == 7) != (whole >= 2) {
			t.Errorf("%d bytes: fence %d after %d entries", n, s.fence, whole)
		}
		if n != want {
			continue
		}
		var z seen
		size, err = replay(append(bytes.Clone(log[:n]), make([]byte, 5000)...), z.put, z.fenced)
		if err != nil || size != int64(want) || z.fence != s.fence {
			t.Errorf("zeros behind %d bytes: %d kept, fence %d, %v", n, size, z.fence, err)
		}
	}
}

func FuzzReplay(f *testing.F) {
	log, ends := written()
	f.Add(log)
	f.Add(log[:ends[0]+3])
	f.Fuzz(func(t *testing.T, b []byte) {
		size, err := replay(b, (&seen{}).put, (&seen{}).fenced)
		if err != nil && core.CodeOf(err) != core.Corrupt {
			t.Fatalf("untyped: %v", err)
		}
		if size < 0 || size > int64(len(b)) {
			t.Fatalf("%d of %d bytes kept", size, len(b))
		}
	})
}
