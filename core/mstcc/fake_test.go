package mstcc_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"sync"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mf"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/policy"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

// server is SS-CC reduced to what MST-CC can see of it: one user, plain mode.
// It verifies every proof, so a client that signs the wrong bytes fails here.
type server struct {
	mu      sync.Mutex
	realm   protocol.ID
	app     protocol.ID
	device  sm.PublicKey
	user    protocol.ID
	rec     *record
	prep    *protocol.PrepareRequest
	done    map[protocol.ID]protocol.CommitAnswer
	tries   protocol.Tries
	log     []protocol.SeqTag
	answers map[protocol.ID]protocol.FetchAnswer

	calls  []string
	fail   map[string][]error // next results of a call, before it is applied
	after  map[string][]error // next results of a call, after it is applied
	tamper func(*protocol.PolicyAnswer)
}

type record struct {
	policy, sealed []byte
	pubs           protocol.Pubs
	gen            uint64
	conf           sm.PublicKey
}

func newServer(device sm.PublicKey) *server {
	s := &server{device: device, done: map[protocol.ID]protocol.CommitAnswer{}, answers: map[protocol.ID]protocol.FetchAnswer{},
		fail: map[string][]error{}, after: map[string][]error{}}
	s.tries.Limit = 5
	for _, id := range []*protocol.ID{&s.realm, &s.app} {
		_, _ = rand.Read(id[:])
	}
	return s
}

func pop(m map[string][]error, name string) error {
	if len(m[name]) == 0 {
		return nil
	}
	err := m[name][0]
	m[name] = m[name][1:]
	return err
}

// enter locks, records the call and returns an injected failure.
func (s *server) enter(name string) error {
	s.mu.Lock()
	s.calls = append(s.calls, name)
	return pop(s.fail, name)
}

func (s *server) view(seen protocol.Seen) protocol.Tries {
	t := s.tries
	t.Held = append([]protocol.HeldTry(nil), s.tries.Held...)
	t.Used = uint32(len(t.Held))
	t.Since = nil
	for _, e := range s.log {
		if e.Seq > seen.Seq {
			t.Since = append(t.Since, e)
		}
	}
	return t
}

var refused = core.Errorf(core.Refused, "fake", "refused")

func (s *server) Policy(_ context.Context, r protocol.PolicyRequest) (protocol.PolicyAnswer, error) {
	if err := s.enter("policy"); err != nil {
		s.mu.Unlock()
		return protocol.PolicyAnswer{}, err
	}
	defer s.mu.Unlock()
	if s.rec == nil || r.User != s.user {
		return protocol.PolicyAnswer{}, refused
	}
	a := protocol.PolicyAnswer{Policy: bytes.Clone(s.rec.policy), Gen: s.rec.gen, Pubs: s.rec.pubs, Tries: s.view(r.Seen)}
	if s.tamper != nil {
		s.tamper(&a)
	}
	return a, pop(s.after, "policy")
}

func (s *server) Fetch(_ context.Context, r protocol.FetchRequest) (protocol.FetchAnswer, error) {
	if err := s.enter("fetch"); err != nil {
		s.mu.Unlock()
		return protocol.FetchAnswer{}, err
	}
	defer s.mu.Unlock()
	if a, ok := s.answers[r.Attempt]; ok {
		return a, pop(s.after, "fetch")
	}
	if s.rec == nil || r.User != s.user || r.Gen != s.rec.gen {
		return protocol.FetchAnswer{}, refused
	}
	if len(s.tries.Held) >= int(s.tries.Limit) {
		s.tries.Locked = true
		return protocol.FetchAnswer{}, core.Errorf(core.Locked, "fake", "locked")
	}
	empty := sm.SM3(nil)
	sum := sm.SM3(protocol.TryTagInput(r.Attempt, empty))
	tag := protocol.Tag(sum[:16])
	s.tries.Seq++
	s.tries.Head = sm.SM3(protocol.TryHeadInput(s.tries.Head, s.tries.Seq, tag))
	s.tries.Held = append(s.tries.Held, protocol.HeldTry{Seq: s.tries.Seq, Tag: tag})
	s.log = append(s.log, protocol.SeqTag{Seq: s.tries.Seq, Tag: tag})
	a := protocol.FetchAnswer{Sealed: bytes.Clone(s.rec.sealed), Seq: s.tries.Seq, Tries: s.view(r.Seen)}
	s.answers[r.Attempt] = a
	return a, pop(s.after, "fetch")
}

func (s *server) Evaluate(context.Context, protocol.EvaluateRequest) (protocol.EvaluateAnswer, error) {
	return protocol.EvaluateAnswer{}, core.Errorf(core.Unsupported, "fake", "plain mode only")
}

func (s *server) Confirm(_ context.Context, r protocol.ConfirmRequest) (protocol.ConfirmAnswer, error) {
	if err := s.enter("confirm"); err != nil {
		s.mu.Unlock()
		return protocol.ConfirmAnswer{}, err
	}
	defer s.mu.Unlock()
	msg := protocol.ConfirmMessage(s.realm, s.app, r.User, r.Gen, r.Entries)
	if s.rec == nil || !sm.Verify(s.rec.conf, msg, []byte(protocol.ConfirmID), r.Sig) {
		return protocol.ConfirmAnswer{}, refused
	}
	for _, e := range r.Entries {
		for i, h := range s.tries.Held {
			if h.Seq == e.Seq && h.Tag == e.Tag {
				s.tries.Held = append(s.tries.Held[:i], s.tries.Held[i+1:]...)
				break
			}
		}
	}
	return protocol.ConfirmAnswer{Tries: s.view(protocol.Seen{})}, nil
}

func (s *server) Prepare(_ context.Context, r protocol.PrepareRequest) (protocol.PrepareAnswer, error) {
	if err := s.enter("prepare"); err != nil {
		s.mu.Unlock()
		return protocol.PrepareAnswer{}, err
	}
	defer s.mu.Unlock()
	r.Policy, r.Sealed = bytes.Clone(r.Policy), bytes.Clone(r.Sealed)
	s.prep = &r
	return protocol.PrepareAnswer{}, pop(s.after, "prepare")
}

func (s *server) Commit(_ context.Context, r protocol.CommitRequest) (protocol.CommitAnswer, error) {
	if err := s.enter("commit"); err != nil {
		s.mu.Unlock()
		return protocol.CommitAnswer{}, err
	}
	defer s.mu.Unlock()
	if a, ok := s.done[r.Idem]; ok {
		return a, pop(s.after, "commit")
	}
	if s.prep == nil || s.prep.Idem != r.Idem {
		return protocol.CommitAnswer{}, core.Errorf(core.NotFound, "fake", "nothing prepared")
	}
	p, err := mf.ParsePolicy(s.prep.Policy)
	if err != nil {
		return protocol.CommitAnswer{}, err
	}
	conf, err := sm.ParsePoint(p.PConf[:])
	if err != nil {
		return protocol.CommitAnswer{}, err
	}
	verifier := conf
	if !s.prep.Init {
		verifier = s.rec.conf
	}
	msg := protocol.CommitMessage(protocol.Commit{Realm: s.realm, App: s.app, User: s.prep.User, Idem: r.Idem,
		OldGen: s.prep.OldGen, NewGen: s.prep.NewGen, Policy: sm.SM3(s.prep.Policy), Sealed: sm.SM3(s.prep.Sealed),
		Pubs: sm.SM3(s.prep.Pubs.Encode()), OPRFKey: sm.SM3(s.prep.OPRFKey), Device: s.device.Compressed()})
	if !sm.Verify(verifier, msg, []byte(protocol.ConfirmID), r.Proof) {
		return protocol.CommitAnswer{}, refused
	}
	if s.prep.Init {
		_, _ = rand.Read(s.user[:])
	}
	s.rec = &record{policy: s.prep.Policy, sealed: s.prep.Sealed, pubs: s.prep.Pubs, gen: s.prep.NewGen, conf: conf}
	a := protocol.CommitAnswer{User: s.user, Gen: s.prep.NewGen}
	s.done[r.Idem] = a
	s.prep = nil
	return a, pop(s.after, "commit")
}

func (s *server) Status(_ context.Context, r protocol.StatusRequest) (protocol.StatusAnswer, error) {
	if err := s.enter("status"); err != nil {
		s.mu.Unlock()
		return protocol.StatusAnswer{}, err
	}
	defer s.mu.Unlock()
	if s.rec == nil {
		return protocol.StatusAnswer{}, refused
	}
	return protocol.StatusAnswer{Gen: s.rec.gen, Mode: protocol.ModePlain, Tries: s.view(r.Seen)}, nil
}

func (s *server) remove(name string, dereg bool, r protocol.RemoveRequest) error {
	if err := s.enter(name); err != nil {
		s.mu.Unlock()
		return err
	}
	defer s.mu.Unlock()
	msg := protocol.RemoveMessage(dereg, s.realm, s.app, r.User, r.Gen, protocol.ID{1})
	if s.rec == nil || !sm.Verify(s.rec.conf, msg, []byte(protocol.ConfirmID), r.Sig) {
		return refused
	}
	s.rec = nil
	return pop(s.after, name)
}

func (s *server) Unbind(_ context.Context, r protocol.RemoveRequest) error {
	return s.remove("unbind", false, r)
}

func (s *server) Deregister(_ context.Context, r protocol.RemoveRequest) error {
	return s.remove("deregister", true, r)
}

func (s *server) Challenge(context.Context, protocol.ChallengeRequest) (protocol.ChallengeAnswer, error) {
	return protocol.ChallengeAnswer{}, refused
}

func (s *server) RecoverPolicy(context.Context, protocol.RecoverPolicyRequest) (protocol.PolicyAnswer, error) {
	return protocol.PolicyAnswer{}, refused
}

func (s *server) Rebind(context.Context, protocol.RebindRequest) error { return refused }
func (s *server) Close() error                                         { return nil }

// unlock is the administrator's order.
func (s *server) unlock() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries.Held, s.tries.Locked = nil, false
	s.tries.UnlockSeq++
}

// asked counts the calls of a name.
func (s *server) asked(name string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.calls {
		if c == name {
			n++
		}
	}
	return n
}

// word is a knowledge source: the secret is what was typed.
type word struct {
	name     string
	captures int
	mu       sync.Mutex
}

func (w *word) Describe(context.Context) (core.SourceInfo, error) {
	return core.SourceInfo{Name: w.name, Kind: core.KindKnowledge, Format: 1, Formats: []uint32{1},
		Samples: []core.SampleKind{core.SamplePIN}, Strength: core.Strength{PerTry: 13000, Offline: 13000, Evidence: "counted"}}, nil
}
func (w *word) Configure(context.Context, core.Config) error { return nil }
func (w *word) Enroll(ctx context.Context, r core.EnrollRequest, p core.Prompter) (core.Enrollment, error) {
	s, err := p.Ask(ctx, core.Prompt{Kinds: []core.SampleKind{core.SamplePIN}, Label: r.Label, Purpose: core.PurposeEnroll})
	if err != nil {
		return core.Enrollment{}, err
	}
	return core.Enrollment{Secret: s.Data, Helper: []byte{1}, Format: 1, Strength: core.Strength{PerTry: 13000, Offline: 13000, Evidence: "counted"}}, nil
}
func (w *word) Capture(ctx context.Context, r core.CaptureRequest, p core.Prompter) (core.Capture, error) {
	w.mu.Lock()
	w.captures++
	w.mu.Unlock()
	s, err := p.Ask(ctx, core.Prompt{Kinds: []core.SampleKind{core.SamplePIN}, Label: r.Label, Purpose: core.PurposeRecover})
	if err != nil {
		return nil, err
	}
	return &typed{s.Data}, nil
}

type typed struct{ s *secret.Buffer }

func (t *typed) Recover(context.Context, core.RecoverRequest) (*secret.Buffer, error) {
	return t.s.Clone(), nil
}
func (t *typed) Close() error { t.s.Wipe(); return nil }

// cheap is a KDF for tests: one HMAC. Its name tells it is not for use.
type cheap struct{}

func (cheap) Describe(context.Context) (core.KDFInfo, error) {
	return core.KDFInfo{Name: "cheap-test"}, nil
}
func (cheap) Validate(p core.Params, l core.Limits) error { return l.Check(p) }
func (cheap) Derive(_ context.Context, p core.Params, sec, salt, out []byte) error {
	h := sm.HMAC(salt, append([]byte(p.String()), sec...))
	copy(out, h[:])
	return nil
}

// terminal is everything one test needs.
type terminal struct {
	t     *testing.T
	dir   string
	keys  *mstcc.FileKeyStore
	srv   *server
	dev   sm.PublicKey
	pin   *word
	steps []mstcc.Progress
	hook  func(string)
	prof  mstcc.Profile
	mu    sync.Mutex
}

func newTerminal(t *testing.T) *terminal {
	t.Helper()
	k, err := sm.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir() + "/user"
	keys, err := mstcc.NewFileKeyStore(dir + "-keys")
	if err != nil {
		t.Fatal(err)
	}
	prof := mstcc.DefaultProfile(protocol.ModePlain)
	prof.SlowFloor = mstcc.MinSlowFloor
	return &terminal{t: t, dir: dir, keys: keys, srv: newServer(k.Public()), dev: k.Public(), pin: &word{name: "pin"}, prof: prof}
}

func (x *terminal) config() mstcc.Config {
	server, err := sm.GenerateKey(rand.Reader)
	if err != nil {
		x.t.Fatal(err)
	}
	return mstcc.Config{
		Dir: x.dir, Keys: x.keys, Device: x.dev,
		Binding: &mstcc.Binding{App: x.srv.app, Device: protocol.ID{1}, Realm: x.srv.realm, Server: server.Public()},
		Source: func(_ context.Context, name string) (core.Source, bool, error) {
			if name == "pin" {
				return x.pin, false, nil
			}
			return &word{name: name}, false, nil
		},
		KDF:     func(context.Context, string) (core.KDF, bool, error) { return cheap{}, false, nil },
		Dial:    func(context.Context) (mstcc.Escrow, error) { return x.srv, nil },
		Profile: x.prof,
		Step: func(name string) {
			if x.hook != nil {
				x.hook(name)
			}
		},
		Progress: func(p mstcc.Progress) {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.steps = append(x.steps, p)
		},
	}
}

func (x *terminal) open() *mstcc.Module {
	x.t.Helper()
	m, err := mstcc.Open(context.Background(), x.config())
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() { _ = m.Close() })
	return m
}

func request(t *testing.T, text string) mstcc.InitRequest {
	t.Helper()
	tree, err := policy.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return mstcc.InitRequest{Tree: tree, KDF: core.NewParams("cheap-test", core.Param{Key: "i", N: 1024})}
}

// types answers every prompt with the same text.
func types(s string) core.Prompter {
	return core.PrompterFunc(func(_ context.Context, p core.Prompt) (core.Sample, error) {
		return core.NewSample(p.Kinds[0], []byte(s)), nil
	})
}

func (cheap) Calibrate(context.Context, time.Duration, core.Limits) (core.Params, error) {
	return core.NewParams("cheap-test", core.Param{Key: "i", N: 1024}), nil
}
