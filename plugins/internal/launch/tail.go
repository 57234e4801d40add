package launch

import (
	"io"
	"sync"
)

// tailSize is how much of standard error is kept for a start error.
const tailSize = 4 << 10

// tail keeps the end of what passes through it.
type tail struct {
	io.ReadCloser
	limit int
	first bool // keep the beginning instead

	mu  sync.Mutex
	buf []byte
}

func (t *tail) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.first {
		t.buf = append(t.buf, p[:min(n, t.limit-len(t.buf))]...)
	} else if t.buf = append(t.buf, p[:n]...); len(t.buf) > t.limit {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-t.limit:]...)
	}
	return n, err
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}
