package ask

import (
	"context"
	"errors"

	"github.com/keposs/keposs/core"
)

// Retries bounds how often a refused capture is asked for again.
const Retries = 5

// Captures asks for samples like q until take has made q.Total pieces of them;
// text is what the person reads when have pieces are there. take owns the sample,
// appends what it holds, and an error of CaptureRefused from it or the prompter
// is told with the next prompt, Retries times. The pieces are the caller's to
// wipe, also with an error. Errors: those of Once, with q.MaxLen as limit, and
// take's.
func Captures[T any](ctx context.Context, op string, p core.Prompter, q core.Prompt, text func(have int) string, take func(core.Sample, []T) ([]T, error)) ([]T, error) {
	var got []T
	for tries := 0; len(got) < q.Total; {
		q.Index, q.Text = len(got)+1, text(len(got))
		s, err := Once(ctx, op, p, q, q.MaxLen)
		if err == nil {
			got, err = take(s, got)
		}
		if err == nil {
			q.Refusal = ""
			continue
		}
		var e *core.Error
		if tries++; !errors.As(err, &e) || e.Code != core.CaptureRefused || tries > Retries {
			return got, err
		}
		q.Refusal = e.Msg
	}
	return got, nil
}
