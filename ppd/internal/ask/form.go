package ask

import (
	"context"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
)

// A Reader turns a sample, which it owns from then on, into the secret it
// stands for, or says for the person why it is none.
type Reader func(core.Sample) (out *secret.Buffer, refusal string)

// A Form is how one kind of knowledge is entered.
type Form struct {
	What   string      // "PIN", in messages
	Prompt core.Prompt // but purpose, index, total and refusal
	Limit  int         // most bytes of an answer
	Tries  int         // most entries before the person is sent away
	New    Reader      // an entry to enrol: form and strength
	Read   Reader      // an entry of any strength: form alone
	Differ string      // told when two entries of an enrolment differ
}

// Twice asks for a new secret and for the same again, until both are accepted.
// The caller owns it. Errors: those of Once; CaptureRefused after f.Tries.
func (f Form) Twice(ctx context.Context, op string, p core.Prompter) (*secret.Buffer, error) {
	q := f.Prompt
	q.Total = 2
	for range f.Tries {
		q.Purpose, q.Index = core.PurposeEnroll, 1
		a, err := Once(ctx, op, p, q, f.Limit)
		if err != nil {
			return nil, err
		}
		var first *secret.Buffer
		if first, q.Refusal = f.New(a); q.Refusal != "" {
			continue
		}
		q.Purpose, q.Index = core.PurposeConfirm, 2
		if a, err = Once(ctx, op, p, q, f.Limit); err != nil {
			first.Wipe()
			return nil, err
		}
		again, bad := f.Read(a)
		same := bad == "" && first.Equal(again)
		again.Wipe()
		if same {
			return first, nil
		}
		first.Wipe()
		q.Refusal = f.Differ
	}
	return nil, core.Errorf(core.CaptureRefused, op, "no acceptable %s in %d entries; think of one at leisure and start again", f.What, f.Tries)
}

// Enter asks until an entry has the form; whether it is the right one nothing
// here knows. The caller owns it. Errors: those of Once; CaptureRefused after
// f.Tries.
func (f Form) Enter(ctx context.Context, op string, p core.Prompter) (*secret.Buffer, error) {
	q := f.Prompt
	q.Purpose = core.PurposeRecover
	for range f.Tries {
		a, err := Once(ctx, op, p, q, f.Limit)
		if err != nil {
			return nil, err
		}
		var got *secret.Buffer
		if got, q.Refusal = f.Read(a); q.Refusal == "" {
			return got, nil
		}
	}
	return nil, core.Errorf(core.CaptureRefused, op, "no entry of the form of a %s in %d; no try was counted", f.What, f.Tries)
}
