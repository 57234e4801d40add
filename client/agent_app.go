package client

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/keposs/keposs/client/internal/link"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mf"
	"github.com/keposs/keposs/core/mstcc/probes"
	"github.com/keposs/keposs/core/secret"
)

// remote is the app's side of an agent: where it listens and who answers what
// it asks the app.
type remote struct {
	socket  string
	prompt  Prompter
	events  func(Event)
	profile Profile // for Initialize and Recover
	host    ProbeHost
	attest  func(ctx context.Context, nonce [32]byte) (platform string, proof []byte, err error)
}

// openRemote connects to the agent once, to see that it is there and ours.
func openRemote(ctx context.Context, o Options) (*Client, error) {
	r := &remote{socket: o.Agent, prompt: o.Prompter, events: o.Events, profile: o.Profile, host: o.Host, attest: o.Attest}
	if r.profile == (Profile{}) {
		r.profile = DefaultProfile()
		r.profile.Level = 2
	}
	if _, err := ask[agentHello](ctx, r, "hello", nil); err != nil {
		return nil, err
	}
	return &Client{agent: r}, nil
}

// An exchange is one call as the app sees it.
type exchange struct {
	show   ShowSheet
	choose func(policy string, ways [][]string) []string
	data   [][]byte         // lent
	back   []*secret.Buffer // what came with the result; the caller wipes it
}

// ask runs a verb without data.
func ask[R any](ctx context.Context, r *remote, verb string, args any) (out R, err error) {
	return askWith[R](ctx, r, verb, args, &exchange{})
}

// askWith runs a verb. The value may be set beside an error.
func askWith[R any](ctx context.Context, r *remote, verb string, args any, x *exchange) (out R, err error) {
	value, err := r.call(ctx, verb, args, x)
	if len(value) > 0 {
		if jerr := fromJSON(value, &out); jerr != nil {
			secret.WipeAll(x.back...)
			x.back = nil
			return out, errors.Join(err, jerr)
		}
	}
	return out, err
}

// call carries one verb to the agent, answers what it asks, and returns the
// value. Canceled when ctx ended first: the agent then ends the service.
func (r *remote) call(ctx context.Context, verb string, args any, x *exchange) (value json.RawMessage, err error) {
	const op = "client: agent"
	head := agentCall{Version: link.Plain, Verb: verb, Data: len(x.data), Host: r.host != nil, Attest: r.attest != nil}
	if head.Host || head.Attest {
		head.Version = link.Version
	}
	if args != nil {
		if head.Args, err = toJSON(args); err != nil {
			return nil, err
		}
	}
	b, err := toJSON(head)
	if err != nil {
		return nil, err
	}
	conn, err := link.Dial(ctx, r.socket)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	given := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer func() {
		if err != nil && given.Err() != nil {
			err = core.Errorf(core.Canceled, op, "%s: %w", verb, given.Err())
		}
	}()
	if err := conn.Send(link.Call, b); err != nil {
		return nil, err
	}
	for _, d := range x.data {
		if err := conn.Send(link.Data, d); err != nil {
			return nil, r.early(conn, err)
		}
	}
	return r.converse(ctx, conn, x)
}

// early is why the agent hung up before it had heard everything, if it said so.
func (r *remote) early(conn *link.Conn, err error) error {
	k, b, rerr := conn.Receive()
	if rerr != nil {
		return err
	}
	defer b.Wipe()
	var res agentResult
	if k == link.Result && fromJSON(b.Bytes(), &res) == nil && res.Failure != nil {
		return res.Failure.err()
	}
	return err
}

// A heard is one frame from the agent.
type heard struct {
	kind link.Kind
	body *secret.Buffer
	err  error
}

// converse answers the agent until its result is there. A frame is read while
// the person is asked, too: an agent that ends takes its prompt back.
func (r *remote) converse(ctx context.Context, conn *link.Conn, x *exchange) (json.RawMessage, error) {
	frames := make(chan heard)
	go func() {
		for {
			k, b, err := conn.Receive()
			select {
			case frames <- heard{k, b, err}:
			case <-ctx.Done():
				b.Wipe()
				return
			}
			if err != nil || k == link.Result {
				return
			}
		}
	}()
	// The reader hands nothing over once ctx has ended.
	hear := func() heard {
		select {
		case h := <-frames:
			return h
		case <-ctx.Done():
			return heard{err: core.Errorf(core.Canceled, "client: agent", "%w", ctx.Err())}
		}
	}
	h := hear()
	for {
		switch {
		case h.err != nil:
			return nil, h.err
		case h.kind == link.Result:
			return r.result(conn, h, x)
		}
		next, err := r.answer(ctx, frames, conn, h, x)
		if err != nil {
			return nil, err
		}
		if next == nil {
			h = hear()
		} else {
			h = *next
		}
	}
}

// result reads what the call ended with.
func (r *remote) result(conn *link.Conn, h heard, x *exchange) (json.RawMessage, error) {
	defer h.body.Wipe()
	var res agentResult
	err := fromJSON(h.body.Bytes(), &res)
	if err != nil {
		return nil, err
	}
	if x.back, err = receiveData(conn, res.Data); err != nil {
		return nil, err
	}
	return res.Value, res.Failure.err()
}

// answer serves one frame that is not the result. next is the frame that came
// before the person had answered.
func (r *remote) answer(ctx context.Context, frames chan heard, conn *link.Conn, h heard, x *exchange) (next *heard, err error) {
	defer h.body.Wipe()
	switch h.kind {
	case link.Event:
		var e agentEvent
		if err := fromJSON(h.body.Bytes(), &e); err != nil {
			return nil, err
		}
		if r.events != nil {
			r.events(Event(e))
		}
		return nil, nil
	case link.Ask:
		var q Prompt
		if err := fromJSON(h.body.Bytes(), &q); err != nil {
			return nil, err
		}
		return while(ctx, frames, func(ctx context.Context) error { return r.sample(ctx, conn, q) })
	case link.Show:
		s, err := mf.ParseSheet(h.body.Bytes())
		if err != nil {
			return nil, err
		}
		defer s.Wipe()
		return while(ctx, frames, func(ctx context.Context) error {
			if x.show == nil {
				return refuse(conn, core.Errorf(core.Usage, "client: agent", "nobody here shows a recovery sheet"))
			}
			if err := x.show(ctx, s); err != nil {
				return refuse(conn, err)
			}
			return conn.Send(link.Shown)
		})
	case link.Choose:
		var w agentWays
		if err := fromJSON(h.body.Bytes(), &w); err != nil {
			return nil, err
		}
		var labels []string
		if x.choose != nil {
			labels = x.choose(w.Policy, w.Ways)
		}
		b, err := toJSON(labels)
		if err != nil {
			return nil, err
		}
		return nil, conn.Send(link.Chosen, b)
	case link.Probe:
		return while(ctx, frames, func(ctx context.Context) error { return r.verdicts(ctx, conn, h.body.Bytes()) })
	case link.Attest:
		return while(ctx, frames, func(ctx context.Context) error { return r.proof(ctx, conn, h.body.Bytes()) })
	}
	return nil, core.Errorf(core.Invalid, "client: agent", "a frame of kind %d from the agent", h.kind)
}

// while runs do, which waits for a person, and takes it back when a frame comes
// meanwhile: an agent that ends, or a service that is over, asks no more.
func while(ctx context.Context, frames chan heard, do func(context.Context) error) (next *heard, err error) {
	ctx, back := context.WithCancel(ctx)
	defer back()
	done := make(chan struct{})
	go func() {
		err = do(ctx)
		close(done)
	}()
	select {
	case <-done:
		return nil, err
	case h := <-frames:
		back()
		<-done // taken back: what it ended with says nothing
		return &h, nil
	}
}

// refuse tells the agent that there is no answer.
func refuse(conn *link.Conn, why error) error {
	b, err := toJSON(failureOf(why))
	if err != nil {
		return err
	}
	return conn.Send(link.Refuse, b)
}

// sample asks the app's prompter, at a screen that is the person's own.
func (r *remote) sample(ctx context.Context, conn *link.Conn, q Prompt) error {
	const op = "client: agent"
	if r.prompt == nil {
		return refuse(conn, core.Errorf(core.Usage, op, "a service needs a prompter for PPD"))
	}
	// The agent sees its own surroundings; those of the person are here.
	for _, f := range probes.Run(ctx, probes.System(), probes.Options{Level: 2, Quick: true}) {
		if f.Class == probes.UI && f.Fails(false) {
			return refuse(conn, core.Errorf(core.Environment, op, "%s (%s) says %s: bring the program to the foreground of a terminal of your own", f.ID, f.Name, f.Verdict))
		}
	}
	s, err := r.prompt.Ask(ctx, q)
	if err != nil {
		return refuse(conn, err)
	}
	defer s.Data.Wipe()
	head, err := link.EncodeSample(s)
	if err != nil {
		return refuse(conn, err)
	}
	return conn.Send(link.Sample, head, s.Data.Bytes())
}
