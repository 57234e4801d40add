package sm_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/keposs/keposs/core/sm"
)

// The temporary values of an integrity test are wiped, also when it fails.
// req: G-7.5-04
func TestMeasureWipes(t *testing.T) {
	text := strings.Repeat("an executable ", 1000)
	zero := make([]byte, 100)
	buf := make([]byte, 100)
	sum, n, err := sm.Measure(strings.NewReader(text), buf)
	if err != nil || n != int64(len(text)) || sum != sm.SM3([]byte(text)) || !bytes.Equal(buf, zero) {
		t.Errorf("%d bytes, %v, buffer %x", n, err, buf)
	}
	broken := errors.New("broken")
	if _, _, err := sm.Measure(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader(text))), buf); err == nil || !bytes.Equal(buf, zero) {
		t.Errorf("a reader that fails: %v, buffer %x", err, buf)
	}
	if _, _, err := sm.Measure(iotest.ErrReader(broken), buf); !errors.Is(err, broken) {
		t.Error(err)
	}
}
