package glue

import (
	"context"
	"io"
	"sync"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/plugins/internal/wire"
)

// sourceServer serves a core.Source.
type sourceServer struct {
	wire.UnimplementedSourceServer
	link *link
	impl core.Source
}

func (s *sourceServer) Describe(ctx context.Context, _ *wire.Empty) (*wire.SourceInfo, error) {
	i, err := s.impl.Describe(ctx)
	if err != nil {
		return nil, err
	}
	return sourceOut(i), nil
}

func (s *sourceServer) Configure(ctx context.Context, m *wire.Config) (*wire.Empty, error) {
	return configure(ctx, s.link, m, s.impl.Configure)
}

// configure opens the settings, lends them to the implementation and wipes them.
func configure(ctx context.Context, l *link, m *wire.Config, do func(context.Context, core.Config) error) (*wire.Empty, error) {
	c, err := l.configIn(m)
	if err != nil {
		return nil, err
	}
	defer wipeConfig(c)
	if err := do(ctx, c); err != nil {
		return nil, err
	}
	return &wire.Empty{}, nil
}

// frames is what both collections need of their streams: each message of the
// host holds a sample, a refusal or something else.
type frame interface {
	GetSample() *wire.Sample
	GetRefused() *wire.Error
}

// inbox receives on behalf of a whole collection. Its context ends when the
// host closes its side or goes away, also while nobody is waiting for a frame.
type inbox[T frame] struct {
	ctx    context.Context
	end    context.CancelCauseFunc
	frames chan T
	done   sync.WaitGroup
}

func receive[T frame](ctx context.Context, recv func() (T, error)) *inbox[T] {
	in := &inbox[T]{frames: make(chan T)}
	in.ctx, in.end = context.WithCancelCause(ctx)
	in.done.Add(1)
	go func() {
		defer in.done.Done()
		for {
			m, err := recv()
			if err != nil {
				if err == io.EOF {
					err = core.Errorf(core.Canceled, "plugin", "the host ended the collection")
				}
				in.end(err)
				return
			}
			select {
			case in.frames <- m:
			case <-in.ctx.Done():
				return
			}
		}
	}()
	return in
}

// next waits for a frame; it ends with ctx and with the collection.
func (in *inbox[T]) next(ctx context.Context) (m T, err error) {
	select {
	case m = <-in.frames:
		return m, nil
	case <-ctx.Done():
		return m, contextError("plugin: prompt", ctx.Err())
	case <-in.ctx.Done():
		return m, core.Errorf(core.Canceled, "plugin: prompt", "the host ended the collection")
	}
}

// prompter is the source's screen: each Ask is one prompt to the host.
func prompter[T frame](l *link, in *inbox[T], send func(*wire.Prompt) error) core.Prompter {
	var turn sync.Mutex
	return core.PrompterFunc(func(ctx context.Context, p core.Prompt) (core.Sample, error) {
		turn.Lock()
		defer turn.Unlock()
		if err := send(promptOut(p)); err != nil {
			return core.Sample{}, core.Errorf(core.Canceled, "plugin: prompt", "the host ended the collection")
		}
		m, err := in.next(ctx)
		if err != nil {
			return core.Sample{}, err
		}
		if r := m.GetRefused(); r != nil {
			return core.Sample{}, errorIn(r)
		}
		if m.GetSample() == nil {
			return core.Sample{}, core.Errorf(core.Invalid, "plugin: prompt", "the host answered with neither sample nor refusal")
		}
		return l.sampleIn(m.GetSample())
	})
}

// guard turns a panic of the implementation into an error of its collection.
func guard(err *error) {
	if recover() != nil {
		*err = core.Errorf(core.Internal, "plugin", "the collection panicked")
	}
}

func (s *sourceServer) Enroll(stream wire.Source_EnrollServer) error {
	in := receive(stream.Context(), stream.Recv)
	defer in.end(nil)
	done, err := s.enroll(in, stream)
	if err != nil {
		return stream.Send(&wire.EnrollResponse{Frame: &wire.EnrollResponse_Error{Error: errorOut(err)}})
	}
	return stream.Send(&wire.EnrollResponse{Frame: &wire.EnrollResponse_Done{Done: done}})
}

func (s *sourceServer) enroll(in *inbox[*wire.EnrollRequest], stream wire.Source_EnrollServer) (done *wire.Enrollment, err error) {
	defer guard(&err)
	first, err := in.next(in.ctx)
	if err != nil {
		return nil, err
	}
	start := first.GetStart()
	if start == nil {
		return nil, core.Errorf(core.Invalid, "plugin: enroll", "the first frame is not start")
	}
	key, err := s.link.in("bind key", start.BindKey)
	if err != nil {
		return nil, err
	}
	defer key.Wipe()
	ask := prompter(s.link, in, func(p *wire.Prompt) error {
		return stream.Send(&wire.EnrollResponse{Frame: &wire.EnrollResponse_Prompt{Prompt: p}})
	})
	e, err := s.impl.Enroll(in.ctx, core.EnrollRequest{Label: start.Label, Format: start.Format, BindKey: key, Params: start.Params}, ask)
	if err != nil {
		return nil, err
	}
	defer e.Secret.Wipe()
	sec, err := s.link.out("factor secret", e.Secret)
	if err != nil {
		return nil, err
	}
	return &wire.Enrollment{
		Secret: sec, Helper: e.Helper, Format: e.Format, Strength: strengthOut(e.Strength),
		Score: clamp(e.Quality.Score), Notes: e.Quality.Notes,
	}, nil
}

func (s *sourceServer) Collect(stream wire.Source_CollectServer) error {
	in := receive(stream.Context(), stream.Recv)
	defer in.end(nil)
	sec, err := s.collect(in, stream)
	if err != nil {
		return stream.Send(&wire.CollectResponse{Frame: &wire.CollectResponse_Error{Error: errorOut(err)}})
	}
	return stream.Send(&wire.CollectResponse{Frame: &wire.CollectResponse_Secret{Secret: sec}})
}

func (s *sourceServer) collect(in *inbox[*wire.CollectRequest], stream wire.Source_CollectServer) (sec *wire.Secret, err error) {
	defer guard(&err)
	first, err := in.next(in.ctx)
	if err != nil {
		return nil, err
	}
	start := first.GetStart()
	if start == nil {
		return nil, core.Errorf(core.Invalid, "plugin: collect", "the first frame is not start")
	}
	ask := prompter(s.link, in, func(p *wire.Prompt) error {
		return stream.Send(&wire.CollectResponse{Frame: &wire.CollectResponse_Prompt{Prompt: p}})
	})
	capture, err := s.impl.Capture(in.ctx, core.CaptureRequest{Label: start.Label, Format: start.Format, Params: start.Params}, ask)
	if err != nil {
		return nil, err
	}
	defer func() {
		if cerr := capture.Close(); err == nil {
			err = cerr
		}
	}()
	if err := stream.Send(&wire.CollectResponse{Frame: &wire.CollectResponse_Captured{Captured: &wire.Captured{}}}); err != nil {
		return nil, err
	}
	next, err := in.next(in.ctx)
	if err != nil {
		return nil, err
	}
	r := next.GetRecover()
	if r == nil {
		return nil, core.Errorf(core.Invalid, "plugin: collect", "after captured only recover may come")
	}
	key, err := s.link.in("bind key", r.BindKey)
	if err != nil {
		return nil, err
	}
	defer key.Wipe()
	out, err := capture.Recover(in.ctx, core.RecoverRequest{Helper: r.Helper, BindKey: key})
	if err != nil {
		return nil, err
	}
	defer out.Wipe()
	return s.link.out("factor secret", out)
}
