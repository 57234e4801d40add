package sm

import (
	"io"

	"github.com/emmansun/gmsm/sm3"
)

// measureChunk is read at once: large enough that reading does not count.
const measureChunk = 64 << 10

// Measure returns the SM3 of everything r gives and how much that was. It is
// what an integrity test reads a file with: the bytes read and the state of the
// hash are wiped before it returns, also after an error of r, which it passes
// on.
// req: G-7.5-04
func Measure(r io.Reader) (digest [32]byte, n int64, err error) {
	h, buf := sm3.New(), make([]byte, measureChunk)
	defer func() {
		clear(buf)
		erase(h)
	}()
	for {
		k, err := r.Read(buf)
		h.Write(buf[:k])
		n += int64(k)
		if err == io.EOF {
			sum(h, &digest)
			return digest, n, nil
		}
		if err != nil {
			return digest, n, err
		}
	}
}
