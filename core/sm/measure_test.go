package sm_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/keposs/keposs/core/sm"
)

// lender remembers the memory it was asked to read into.
type lender struct {
	io.Reader
	lent [][]byte
}

func (l *lender) Read(p []byte) (int, error) {
	l.lent = append(l.lent, p)
	return l.Reader.Read(p)
}

// What an integrity test read is gone when it returns, after an error too, and
// its digest is that of the whole.
// req: G-7.5-04
func TestMeasureWipes(t *testing.T) {
	data := bytes.Repeat([]byte("a file of the image, "), 20_000)
	for name, c := range map[string]struct {
		r    io.Reader
		fail error
	}{
		"whole":   {bytes.NewReader(data), nil},
		"bits":    {iotest.HalfReader(bytes.NewReader(data)), nil},
		"at once": {iotest.DataErrReader(bytes.NewReader(data)), nil},
		"broken":  {io.MultiReader(bytes.NewReader(data[:1000]), iotest.ErrReader(io.ErrClosedPipe)), io.ErrClosedPipe},
	} {
		l := &lender{Reader: c.r}
		sum, n, err := sm.Measure(l)
		if !errors.Is(err, c.fail) {
			t.Errorf("%s: %v", name, err)
		}
		if c.fail == nil && (sum != sm.SM3(data) || n != int64(len(data))) {
			t.Errorf("%s: another digest, %d bytes", name, n)
		}
		if len(l.lent) == 0 {
			t.Fatalf("%s: nothing was read", name)
		}
		for _, b := range l.lent {
			if !bytes.Equal(b, make([]byte, len(b))) {
				t.Errorf("%s: bytes of the file are left", name)
				break
			}
		}
	}
}
