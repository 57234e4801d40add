package glue

import (
	"context"
	"errors"
	"sync"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/plugins/internal/wire"
)

// sourceHost is a core.Source whose implementation is a plugin.
type sourceHost struct {
	h *Host
	c wire.SourceClient
}

// Source returns the plugin as a core.Source.
func (h *Host) Source() core.Source { return &sourceHost{h, wire.NewSourceClient(h.conn)} }

func (s *sourceHost) op(call string) string { return s.h.Info.Name + ": " + call }

func (s *sourceHost) Describe(ctx context.Context) (core.SourceInfo, error) {
	m, err := s.c.Describe(ctx, &wire.Empty{})
	if err != nil {
		return core.SourceInfo{}, statusIn(ctx, s.op("describe"), err, reads)
	}
	return sourceIn(m), nil
}

func (s *sourceHost) Configure(ctx context.Context, c core.Config) error {
	m, err := s.h.link.configOut(c)
	if err != nil {
		return err
	}
	_, err = s.c.Configure(ctx, m)
	return statusIn(ctx, s.op("configure"), err, reads)
}

// reply is what both collections answer besides their ends.
type reply interface {
	GetPrompt() *wire.Prompt
	GetError() *wire.Error
}

// talk drives one stream from the host's side. A receiver of its own notices
// the plugin's end also while a person is being asked.
type talk[T reply] struct {
	op     string
	host   *Host
	sample func(*wire.Sample) error
	refuse func(*wire.Error) error

	frames chan T
	lost   chan struct{} // closed after the last frame
	err    error         // why; set before lost is closed
	asked  error         // what the prompter answered last
}

func (t *talk[T]) receive(ctx context.Context, recv func() (T, error)) {
	t.frames, t.lost = make(chan T), make(chan struct{})
	go func() {
		defer close(t.lost)
		for {
			m, err := recv()
			if err != nil {
				t.host.note(err)
				t.err = err
				return
			}
			select {
			case t.frames <- m:
			case <-ctx.Done():
				t.err = ctx.Err()
				return
			}
		}
	}()
}

// next answers prompts through p until a frame of another kind comes.
func (t *talk[T]) next(ctx context.Context, p core.Prompter) (m T, err error) {
	var zero T
	for {
		select {
		case m = <-t.frames:
		case <-t.lost:
			return zero, t.broken(ctx)
		case <-ctx.Done():
			return zero, contextError(t.op, ctx.Err())
		}
		if e := m.GetError(); e != nil {
			return zero, t.failure(ctx, errorIn(e))
		}
		prompt := m.GetPrompt()
		if prompt == nil {
			return m, nil
		}
		if p == nil {
			return zero, core.Errorf(core.Internal, t.op, "%w: a prompt after the capture", errProtocol)
		}
		early, ended, err := t.answer(ctx, p, promptIn(prompt))
		if err != nil {
			return zero, err
		}
		if ended {
			if e := early.GetError(); e != nil {
				return zero, t.failure(ctx, errorIn(e))
			}
			return zero, core.Errorf(core.Internal, t.op, "%w: it went on without its sample", errProtocol)
		}
	}
}

// answer asks the person and sends the sample. If the plugin says something
// meanwhile, asking stops and that frame is returned.
func (t *talk[T]) answer(ctx context.Context, p core.Prompter, prompt core.Prompt) (early T, ended bool, err error) {
	type answer struct {
		sample core.Sample
		err    error
	}
	askCtx, stop := context.WithCancel(ctx)
	defer stop()
	got := make(chan answer, 1)
	go func() {
		s, err := p.Ask(askCtx, prompt)
		got <- answer{s, err}
	}()
	drop := func() { // a prompter that is deaf to its context must not hold us up
		stop()
		go func() {
			a := <-got
			a.sample.Data.Wipe()
		}()
	}
	select {
	case a := <-got:
		if a.err != nil {
			t.asked = a.err
			if err := t.refuse(errorOut(a.err)); err != nil {
				return early, false, t.sent(ctx)
			}
			return early, false, nil
		}
		m, err := t.host.link.sampleOut(a.sample)
		if err != nil {
			return early, false, err
		}
		if err := t.sample(m); err != nil {
			return early, false, t.sent(ctx)
		}
		return early, false, nil
	case early = <-t.frames:
		drop()
		return early, true, nil
	case <-t.lost:
		drop()
		return early, false, t.broken(ctx)
	case <-ctx.Done():
		drop()
		return early, false, contextError(t.op, ctx.Err())
	}
}

// sent explains a failed send: the reason is in what is received, where a
// last frame may wait.
func (t *talk[T]) sent(ctx context.Context) error {
	for {
		select {
		case m := <-t.frames:
			if e := m.GetError(); e != nil {
				return t.failure(ctx, errorIn(e))
			}
		case <-t.lost:
			return t.broken(ctx)
		case <-ctx.Done():
			return contextError(t.op, ctx.Err())
		}
	}
}

// broken is the error of a stream that ended without its last frame: nothing
// of the collection is left and nothing is replayed.
func (t *talk[T]) broken(ctx context.Context) error {
	err := statusIn(ctx, t.op, t.err, reads)
	var e *core.Error
	if errors.As(err, &e) && (e.Code == core.Unavailable || e.Code == core.Internal) {
		return core.Errorf(core.Unavailable, t.op, "the plugin ended during the collection; begin again")
	}
	return err
}

// failure gives a plugin's error back its cause, when the plugin only passed
// on what the prompter or ctx had said.
func (t *talk[T]) failure(ctx context.Context, e *core.Error) error {
	switch {
	case t.asked != nil && e.Code == codeOf(t.asked):
		e.Msg, e.Err = "", t.asked
	case over(ctx) != nil && (e.Code == core.Canceled || e.Code == core.Timeout):
		return contextError(t.op, over(ctx))
	}
	return e
}

func (s *sourceHost) Enroll(ctx context.Context, req core.EnrollRequest, p core.Prompter) (core.Enrollment, error) {
	op := s.op("enroll")
	if err := ctx.Err(); err != nil {
		return core.Enrollment{}, contextError(op, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := s.c.Enroll(ctx)
	if err != nil {
		return core.Enrollment{}, statusIn(ctx, op, err, reads)
	}
	key, err := s.h.link.out("bind key", req.BindKey)
	if err != nil {
		return core.Enrollment{}, err
	}
	t := &talk[*wire.EnrollResponse]{op: op, host: s.h,
		sample: func(m *wire.Sample) error {
			return stream.Send(&wire.EnrollRequest{Frame: &wire.EnrollRequest_Sample{Sample: m}})
		},
		refuse: func(m *wire.Error) error {
			return stream.Send(&wire.EnrollRequest{Frame: &wire.EnrollRequest_Refused{Refused: m}})
		},
	}
	t.receive(ctx, stream.Recv)
	start := &wire.EnrollStart{Label: req.Label, Format: req.Format, BindKey: key, Params: req.Params}
	if err := stream.Send(&wire.EnrollRequest{Frame: &wire.EnrollRequest_Start{Start: start}}); err != nil {
		return core.Enrollment{}, t.sent(ctx)
	}
	m, err := t.next(ctx, p)
	if err != nil {
		return core.Enrollment{}, err
	}
	done := m.GetDone()
	if done == nil {
		return core.Enrollment{}, core.Errorf(core.Internal, op, "%w: a frame that is neither prompt, done nor error", errProtocol)
	}
	sec, err := s.h.link.required("factor secret", done.Secret)
	if err != nil {
		return core.Enrollment{}, err
	}
	e := core.Enrollment{
		Secret: sec, Helper: done.Helper, Format: done.Format, Strength: strengthIn(done.Strength),
		Quality: core.Quality{Score: int(done.Score)},
	}
	for _, n := range done.Notes {
		e.Quality.Notes = append(e.Quality.Notes, clean(n, maxMsg))
	}
	return e, nil
}

// captureHost is a Capture whose samples are in the plugin's process.
type captureHost struct {
	s      *sourceHost
	stream wire.Source_CollectClient
	talk   *talk[*wire.CollectResponse]
	ctx    context.Context
	cancel context.CancelFunc

	mu     sync.Mutex
	used   bool
	closed bool
}

func (s *sourceHost) Capture(ctx context.Context, req core.CaptureRequest, p core.Prompter) (core.Capture, error) {
	op := s.op("capture")
	if err := ctx.Err(); err != nil {
		return nil, contextError(op, err)
	}
	// The samples outlive this call's context, until Close.
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cancel)
	defer stop()
	c, err := s.capture(ctx, own, op, req, p)
	if err == nil && ctx.Err() != nil {
		err = contextError(op, ctx.Err())
	}
	if err != nil {
		cancel()
		return nil, err
	}
	c.cancel = cancel
	return c, nil
}

func (s *sourceHost) capture(ctx, own context.Context, op string, req core.CaptureRequest, p core.Prompter) (*captureHost, error) {
	stream, err := s.c.Collect(own)
	if err != nil {
		return nil, statusIn(ctx, op, err, reads)
	}
	t := &talk[*wire.CollectResponse]{op: op, host: s.h,
		sample: func(m *wire.Sample) error {
			return stream.Send(&wire.CollectRequest{Frame: &wire.CollectRequest_Sample{Sample: m}})
		},
		refuse: func(m *wire.Error) error {
			return stream.Send(&wire.CollectRequest{Frame: &wire.CollectRequest_Refused{Refused: m}})
		},
	}
	t.receive(own, stream.Recv)
	start := &wire.CollectStart{Label: req.Label, Format: req.Format, Params: req.Params}
	if err := stream.Send(&wire.CollectRequest{Frame: &wire.CollectRequest_Start{Start: start}}); err != nil {
		return nil, t.sent(ctx)
	}
	m, err := t.next(ctx, p)
	if err != nil {
		return nil, err
	}
	if m.GetCaptured() == nil {
		return nil, core.Errorf(core.Internal, op, "%w: a frame that is neither prompt, captured nor error", errProtocol)
	}
	return &captureHost{s: s, stream: stream, talk: t, ctx: own}, nil
}

func (c *captureHost) Recover(ctx context.Context, req core.RecoverRequest) (*secret.Buffer, error) {
	op := c.s.op("recover")
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return nil, core.Errorf(core.Closed, op, "the capture is closed")
	case c.used:
		return nil, core.Errorf(core.State, op, "a capture recovers once")
	}
	if err := ctx.Err(); err != nil {
		return nil, contextError(op, err)
	}
	c.used = true
	c.talk.op, c.talk.asked = op, nil
	stop := context.AfterFunc(ctx, c.cancel)
	defer stop()
	key, err := c.s.h.link.out("bind key", req.BindKey)
	if err != nil {
		return nil, err
	}
	r := &wire.Recover{Helper: req.Helper, BindKey: key}
	if err := c.stream.Send(&wire.CollectRequest{Frame: &wire.CollectRequest_Recover{Recover: r}}); err != nil {
		return nil, c.talk.sent(ctx)
	}
	m, err := c.talk.next(ctx, nil)
	if err != nil {
		return nil, err
	}
	if m.GetSecret() == nil {
		return nil, core.Errorf(core.Internal, op, "%w: a frame that is neither secret nor error", errProtocol)
	}
	return c.s.h.link.required("factor secret", m.GetSecret())
}

// Close ends the stream; the plugin wipes the samples when it notices.
func (c *captureHost) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.cancel()
	return nil
}
