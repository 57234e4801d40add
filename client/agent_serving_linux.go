package client

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keposs/keposs/client/internal/link"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc/trail"
	"github.com/keposs/keposs/core/secret"
)

// A serving is one call from the agent's side.
type serving struct {
	conn *link.Conn
	verb string
	turn sync.Mutex  // one question to the app at a time
	want atomic.Bool // an answer is awaited
	said chan heard  // it
	gone <-chan struct{}
	end  context.CancelFunc
}

// peer serves one connection of one process.
func (a *agent) peer(begun context.Context, raw net.Conn) {
	defer raw.Close()
	ctx, cancel := context.WithCancel(begun)
	defer cancel()
	conn := &link.Conn{Conn: raw}
	p, err := link.PeerOf(raw)
	if err == nil && p.UID != os.Geteuid() {
		err = core.Errorf(core.Refused, "client: agent", "this agent serves user %d only", os.Geteuid())
	}
	if err != nil {
		err = joined(err, a.log.Add(trail.Event{Kind: "refused-peer", PID: p.PID, UID: p.UID, Code: core.CodeOf(err).String()}))
		reply(conn, agentResult{Failure: failureOf(err)}, nil)
		return
	}
	_ = raw.SetReadDeadline(time.Now().Add(agentHead))
	call, data, err := hear(conn)
	_ = raw.SetReadDeadline(time.Time{})
	if err != nil {
		if core.CodeOf(err) != core.Closed {
			err = joined(err, a.log.Add(trail.Event{Kind: "rejected-input", PID: p.PID, Code: core.CodeOf(err).String()}))
			reply(conn, agentResult{Failure: failureOf(err)}, nil)
		}
		return
	}
	defer func() { secret.WipeAll(data...) }()
	s := &serving{conn: conn, verb: call.Verb, said: make(chan heard, 1), gone: ctx.Done(), end: cancel}
	go s.listen()
	res, back := a.run(ctx, s, p, call, data)
	defer s.forget()
	defer func() { secret.WipeAll(back...) }()
	reply(conn, res, back)
}

// joined is err, or why it could not be written down, which weighs more.
func joined(err, record error) error {
	if record != nil {
		return record
	}
	return err
}

// hear reads what the app wants. The caller wipes the data.
func hear(c *link.Conn) (call agentCall, data []*secret.Buffer, err error) {
	const op = "client: agent"
	k, b, err := c.Receive()
	if err != nil {
		return call, nil, err
	}
	defer b.Wipe()
	if k != link.Call {
		return call, nil, core.Errorf(core.Invalid, op, "a frame of kind %d, want a call", k)
	}
	// Another version may have other fields, so that is looked at first.
	var v struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(b.Bytes(), &v); err == nil && v.Version != link.Version {
		return call, nil, core.Errorf(core.Unsupported, op, "version %d, this agent speaks %d", v.Version, link.Version)
	}
	if err := fromJSON(b.Bytes(), &call); err != nil {
		return call, nil, err
	}
	data, err = receiveData(c, call.Data)
	return call, data, err
}

// reply sends the result; an app that is gone hears nothing.
func reply(c *link.Conn, res agentResult, data []*secret.Buffer) {
	res.Data = len(data)
	b, err := toJSON(res)
	if err != nil || c.Send(link.Result, b) != nil {
		return
	}
	for _, d := range data {
		if c.Send(link.Data, d.Bytes()) != nil {
			return
		}
	}
}

// run serves one call in its turn and writes down what became of it.
func (a *agent) run(ctx context.Context, s *serving, p link.Peer, call agentCall, data []*secret.Buffer) (res agentResult, back []*secret.Buffer) {
	fail := func(err error) (agentResult, []*secret.Buffer) {
		secret.WipeAll(back...)
		return agentResult{Failure: failureOf(err)}, nil
	}
	v, ok := agentVerbs[call.Verb]
	if !ok && call.Verb != "hello" {
		err := core.Errorf(core.Unsupported, "client: agent", "no verb %.32q", call.Verb)
		return fail(joined(err, a.log.Add(trail.Event{Kind: "rejected-input", PID: p.PID, Code: core.Unsupported.String()})))
	}
	if err := a.log.Err(); err != nil {
		return fail(err)
	}
	if call.Verb == "hello" { // who comes while a service runs hears that the agent is there
		value, err := toJSON(agentHello{PID: os.Getpid(), Level: a.level.Load()})
		return agentResult{Value: value, Failure: failureOf(err)}, nil
	}
	if err := a.take(ctx); err != nil {
		return fail(err)
	}
	defer a.give()
	defer a.look()
	a.current.Store(s)
	defer a.current.Store(nil)
	value, back, err := v.serve(ctx, a, s, call.Args, data)
	if v.recorded || err != nil {
		if rerr := a.record(trail.Event{Kind: call.Verb, PID: p.PID}, err); rerr != nil {
			return fail(rerr)
		}
	}
	if err := a.log.Err(); err != nil { // an alarm or state could not be written
		return fail(err)
	}
	res = agentResult{Failure: failureOf(err)}
	if value != nil {
		if res.Value, err = toJSON(value); err != nil {
			return fail(err)
		}
	}
	return res, back
}

// listen reads what the app sends during its call: answers that were asked for.
// Anything else, and the end of the connection, ends the service.
func (s *serving) listen() {
	defer s.end()
	for {
		k, b, err := s.conn.Receive()
		if err != nil {
			return
		}
		if !s.want.CompareAndSwap(true, false) {
			b.Wipe()
			return
		}
		select {
		case s.said <- heard{k, b, nil}:
		case <-s.gone:
			b.Wipe()
			return
		}
	}
}

// forget wipes an answer nobody waits for any more.
func (s *serving) forget() {
	select {
	case h := <-s.said:
		h.body.Wipe()
	default:
	}
}

// question sends one frame and waits for its answer, the person's time at most.
// The caller wipes the body.
func (s *serving) question(ctx context.Context, kind link.Kind, body []byte, want link.Kind) (*secret.Buffer, error) {
	const op = "client: agent"
	s.turn.Lock()
	defer s.turn.Unlock()
	s.want.Store(true)
	if err := s.conn.Send(kind, body); err != nil {
		return nil, core.Errorf(core.Canceled, op, "the app is gone: %w", err)
	}
	late := time.NewTimer(agentPerson)
	defer late.Stop()
	select {
	case h := <-s.said:
		if h.kind == want {
			return h.body, nil
		}
		defer h.body.Wipe()
		var f agentFailure
		if h.kind != link.Refuse || fromJSON(h.body.Bytes(), &f) != nil {
			return nil, core.Errorf(core.Invalid, op, "the app answered with a frame of kind %d, want %d", h.kind, want)
		}
		return nil, f.err()
	case <-s.gone:
		return nil, core.Errorf(core.Canceled, op, "the app ended the call")
	case <-ctx.Done():
		s.end() // an answer that comes now answers nothing
		return nil, core.Errorf(core.Canceled, op, "%w", ctx.Err())
	case <-late.C:
		s.end()
		return nil, core.Errorf(core.Canceled, op, "no answer within %s", agentPerson)
	}
}

// ask passes a prompt to the app; the caller owns the sample.
func (s *serving) ask(ctx context.Context, q Prompt) (Sample, error) {
	b, err := toJSON(q)
	if err != nil {
		return Sample{}, err
	}
	body, err := s.question(ctx, link.Ask, b, link.Sample)
	if err != nil {
		return Sample{}, err
	}
	return link.DecodeSample(body)
}

// show has the app show a recovery sheet.
func (s *serving) show(ctx context.Context, sheet *Sheet) error {
	payload := sheet.Payload()
	defer payload.Wipe()
	b, err := s.question(ctx, link.Show, payload.Bytes(), link.Shown)
	b.Wipe()
	return err
}

// choose has the app say which factors the person will give.
func (s *serving) choose(ctx context.Context, policy string, ways [][]string) ([]string, error) {
	q, err := toJSON(agentWays{policy, ways})
	if err != nil {
		return nil, err
	}
	b, err := s.question(ctx, link.Choose, q, link.Chosen)
	if err != nil {
		return nil, err
	}
	defer b.Wipe()
	var labels []string
	return labels, fromJSON(b.Bytes(), &labels)
}

// tell passes an event on; one that cannot be sent is not missed.
func (s *serving) tell(e Event) {
	if b, err := toJSON(agentEvent(e)); err == nil {
		_ = s.conn.Send(link.Event, b)
	}
}
