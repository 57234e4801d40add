package client

import (
	"context"
	"encoding/json"
	"errors"
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
	fail context.CancelCauseFunc // ends it and tells why

	host, attest bool // the app answers these

	note string       // the verb's own word for the log
	role atomic.Value // string: taken by whoever is served
}

// peer serves one connection of one process.
func (a *agent) peer(begun context.Context, raw net.Conn) {
	defer raw.Close()
	ctx, fail := context.WithCancelCause(begun)
	cancel := func() { fail(nil) }
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
	s := &serving{conn: conn, verb: call.Verb, said: make(chan heard, 1), gone: ctx.Done(), end: cancel, fail: fail, host: call.Host, attest: call.Attest}
	go s.listen(func(err error) {
		fail(err)
		_ = a.log.Add(trail.Event{Kind: "rejected-input", PID: p.PID, Code: core.CodeOf(err).String()}) // a failure stands in Err
	})
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
	if err := json.Unmarshal(b.Bytes(), &v); err == nil && v.Version != link.Plain && v.Version != link.Version {
		return call, nil, core.Errorf(core.Unsupported, op, "version %d, this agent speaks %d and %d", v.Version, link.Plain, link.Version)
	}
	if err := fromJSON(b.Bytes(), &call); err != nil {
		return call, nil, err
	}
	if call.Version < link.Version && (call.Host || call.Attest) {
		return call, nil, core.Errorf(core.Invalid, op, "version %d has no host and no attest", call.Version)
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
	if owed := s.owed(ctx); owed != nil {
		secret.WipeAll(back...)
		value, back, err = nil, nil, owed
	}
	if v.recorded || err != nil {
		role, _ := s.role.Load().(string)
		if rerr := a.record(trail.Event{Kind: call.Verb, PID: p.PID, Text: s.note, Role: role}, err); rerr != nil {
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
// Anything else is rejected, and that and the end of the connection end the
// service.
func (s *serving) listen(rejected func(error)) {
	defer s.end()
	for {
		k, b, err := s.conn.Receive()
		if errors.Is(err, core.Invalid) || errors.Is(err, core.TooLarge) {
			rejected(err)
		}
		if err != nil {
			return
		}
		if !s.want.CompareAndSwap(true, false) {
			b.Wipe()
			rejected(core.Errorf(core.Invalid, "client: agent", "a frame of kind %d that nobody asked for", k))
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

// question asks what a person answers; the app may refuse. The caller wipes the
// body.
func (s *serving) question(ctx context.Context, kind link.Kind, body []byte, want link.Kind) (*secret.Buffer, error) {
	h, err := s.answer(ctx, kind, body, agentPerson)
	if err != nil {
		s.end()
		return nil, err
	}
	if h.kind == want {
		return h.body, nil
	}
	defer h.body.Wipe()
	if h.kind == link.Refuse {
		return nil, h.refusal()
	}
	return nil, h.unfit(want)
}

// refusal is what an app says instead of an answer.
func (h heard) refusal() error {
	var f agentFailure
	if err := fromJSON(h.body.Bytes(), &f); err != nil {
		return err
	}
	return f.err()
}

// unfit is an answer of a kind that was not asked for.
func (h heard) unfit(want link.Kind) error {
	return core.Errorf(core.Invalid, "client: agent", "the app answered with a frame of kind %d, want %d", h.kind, want)
}

// answer sends one frame and waits for what the app answers, no longer than
// most. The caller wipes the body, and ends the service after an error: what is
// answered later answers nothing.
func (s *serving) answer(ctx context.Context, kind link.Kind, body []byte, most time.Duration) (heard, error) {
	const op = "client: agent"
	s.turn.Lock()
	defer s.turn.Unlock()
	ended := core.Errorf(core.Canceled, op, "the app ended the call")
	select {
	case <-s.gone: // what comes now answers nothing
		return heard{}, ended
	default:
	}
	s.want.Store(true)
	if err := s.conn.Send(kind, body); err != nil {
		return heard{}, core.Errorf(core.Canceled, op, "the app is gone: %w", err)
	}
	late := time.NewTimer(most)
	defer late.Stop()
	select {
	case h := <-s.said:
		return h, nil
	case <-s.gone:
		return heard{}, ended
	case <-ctx.Done():
		return heard{}, core.Errorf(core.Canceled, op, "%w", ctx.Err())
	case <-late.C:
		return heard{}, core.Errorf(core.Canceled, op, "no answer within %s", most)
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
