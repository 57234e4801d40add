package check

import (
	"bytes"
	"context"

	"github.com/keposs/keposs/core/secret"
)

// Abandon runs work, a library's derivation that cannot be interrupted, and
// comes back at once when ctx ends. Work abandoned so goes on to its bounded
// end on copies of password and salt, which are wiped, and its answer too. done
// is called exactly once, when work has ended and its memory is free.
//
// The answer of work is copied to out and wiped.
func Abandon(ctx context.Context, op string, password, salt, out []byte, done func(), work func(password, salt []byte, n int) ([]byte, error)) error {
	secret.Zero(out)
	if ctx.Err() != nil {
		done()
		return Ended(ctx, op)
	}
	type answer struct {
		key []byte
		err error
	}
	n := len(out)
	ch := make(chan answer)
	pw, st := bytes.Clone(password), bytes.Clone(salt)
	go func() {
		defer done()
		key, err := work(pw, st, n)
		secret.Zero(pw)
		select {
		case ch <- answer{key, err}:
		case <-ctx.Done(): // nobody listens any more
			secret.Zero(key)
		}
	}()
	select {
	case a := <-ch:
		defer secret.Zero(a.key)
		if a.err != nil {
			return a.err
		}
		copy(out, a.key)
		return nil
	case <-ctx.Done():
		return Ended(ctx, op)
	}
}
