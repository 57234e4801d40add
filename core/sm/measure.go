package sm

import (
	"io"

	"github.com/emmansun/gmsm/sm3"
)

// Measure is the SM3 of everything r gives, and its length in bytes. It reads
// through buf, which must not be empty, and leaves buf and the hash's state
// zero: the temporary values of an integrity test. Errors: the reader's.
// req: G-7.5-04
func Measure(r io.Reader, buf []byte) (out [32]byte, n int64, err error) {
	h := sm3.New()
	defer func() {
		clear(buf)
		erase(h)
	}()
	for {
		k, err := r.Read(buf)
		h.Write(buf[:k])
		n += int64(k)
		if err == io.EOF {
			sum(h, &out)
			return out, n, nil
		}
		if err != nil {
			return out, n, err
		}
	}
}
