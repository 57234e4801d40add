package mstcc_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"sync"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mf"
	"github.com/keposs/keposs/core/oprf"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
)

// server is SS-CC reduced to what MST-CC can see of it: one user, who is bound
// to one device. It verifies every proof, so a client that signs the wrong
// bytes fails here. Terminals reach it through a link.
type server struct {
	mu      sync.Mutex
	realm   protocol.ID
	app     protocol.ID
	devices map[protocol.Point]bool // enrolled
	bound   protocol.Point          // the user's
	revoked bool                    // the app's identifier
	ordered protocol.Kept           // what the administrator did to the user
	rebound bool                    // by recovery: the next Commit must be a new generation
	user    protocol.ID
	rec     *record
	prep    *protocol.PrepareRequest
	done    map[protocol.ID]protocol.CommitAnswer
	tries   protocol.Tries
	log     []protocol.SeqTag
	answers map[protocol.ID]protocol.FetchAnswer
	evals   map[protocol.ID]protocol.EvaluateAnswer

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
	oprf           []byte // hardened: the dealt key
}

func newServer(device sm.PublicKey) *server {
	s := &server{devices: map[protocol.Point]bool{device.Compressed(): true}, done: map[protocol.ID]protocol.CommitAnswer{},
		answers: map[protocol.ID]protocol.FetchAnswer{}, evals: map[protocol.ID]protocol.EvaluateAnswer{},
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
	if err := s.count(r.Attempt, nil); err != nil {
		return protocol.FetchAnswer{}, err
	}
	a := protocol.FetchAnswer{Sealed: bytes.Clone(s.rec.sealed), Seq: s.tries.Seq, Tries: s.view(r.Seen)}
	s.answers[r.Attempt] = a
	return a, pop(s.after, "fetch")
}

// count makes one try durable.
func (s *server) count(attempt protocol.ID, blinded []byte) error {
	if len(s.tries.Held) >= int(s.tries.Limit) {
		s.tries.Locked = true
		return core.Errorf(core.Locked, "fake", "locked")
	}
	sum := sm.SM3(protocol.TryTagInput(attempt, sm.SM3(blinded)))
	tag := protocol.Tag(sum[:16])
	s.tries.Seq++
	s.tries.Head = sm.SM3(protocol.TryHeadInput(s.tries.Head, s.tries.Seq, tag))
	s.tries.Held = append(s.tries.Held, protocol.HeldTry{Seq: s.tries.Seq, Tag: tag})
	s.log = append(s.log, protocol.SeqTag{Seq: s.tries.Seq, Tag: tag})
	return nil
}

func (s *server) Evaluate(_ context.Context, r protocol.EvaluateRequest) (protocol.EvaluateAnswer, error) {
	if err := s.enter("evaluate"); err != nil {
		s.mu.Unlock()
		return protocol.EvaluateAnswer{}, err
	}
	defer s.mu.Unlock()
	if s.rec == nil || len(s.rec.oprf) == 0 || r.User != s.user || r.Gen != s.rec.gen {
		return protocol.EvaluateAnswer{}, refused
	}
	a, ok := s.evals[r.Attempt]
	if !ok {
		if err := s.count(r.Attempt, r.Blinded[:]); err != nil {
			return protocol.EvaluateAnswer{}, err
		}
		a = protocol.EvaluateAnswer{Sealed: bytes.Clone(s.rec.sealed), Seq: s.tries.Seq, Tries: s.view(r.Seen)}
	}
	k, err := oprf.NewKey(s.rec.oprf)
	if err != nil {
		return a, err
	}
	defer k.Wipe()
	e, proof, err := oprf.EvaluateWithProof(rand.Reader, k, r.Blinded)
	if err != nil {
		return a, err
	}
	a.Evaluated, a.Proof = e, nil
	if r.WantProof {
		a.Proof, a.Tries.Since = proof[:], nil
		a.Tries = s.view(r.Seen)
	}
	s.evals[r.Attempt] = a
	return a, pop(s.after, "evaluate")
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
	r.Policy, r.Sealed, r.OPRFKey = bytes.Clone(r.Policy), bytes.Clone(r.Sealed), bytes.Clone(r.OPRFKey)
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
	holder := p.Holder("device").P
	verifier := conf
	if !s.prep.Init {
		old, err := mf.ParsePolicy(s.rec.policy)
		if err != nil {
			return protocol.CommitAnswer{}, err
		}
		newGen := p.MKGen == old.MKGen+1
		if s.prep.User != s.user || s.prep.OldGen != s.rec.gen || s.prep.NewGen != s.rec.gen+1 || p.KeyID != old.KeyID || p.Pubs != old.Pubs ||
			s.rebound && (!newGen || holder != s.bound) || !newGen && (p.MKGen != old.MKGen || holder != s.bound || s.rebound) {
			return protocol.CommitAnswer{}, core.Errorf(core.Conflict, "fake", "not a successor")
		}
		verifier = s.rec.conf
	}
	msg := protocol.CommitMessage(protocol.Commit{Realm: s.realm, App: s.app, User: s.prep.User, Idem: r.Idem,
		OldGen: s.prep.OldGen, NewGen: s.prep.NewGen, Policy: sm.SM3(s.prep.Policy), Sealed: sm.SM3(s.prep.Sealed),
		Pubs: sm.SM3(s.prep.Pubs.Encode()), OPRFKey: sm.SM3(s.prep.OPRFKey), Device: holder})
	if !sm.Verify(verifier, msg, []byte(protocol.ConfirmID), r.Proof) {
		return protocol.CommitAnswer{}, refused
	}
	if s.prep.Init {
		_, _ = rand.Read(s.user[:])
	}
	next := &record{policy: s.prep.Policy, sealed: s.prep.Sealed, pubs: s.prep.Pubs, gen: s.prep.NewGen, conf: conf, oprf: bytes.Clone(s.prep.OPRFKey)}
	if len(next.oprf) > 0 {
		s.tries.Held, s.tries.Locked = nil, false
	} else if s.rec != nil {
		next.oprf = s.rec.oprf
	}
	s.rec, s.rebound = next, false
	if holder != s.bound {
		delete(s.devices, s.bound)
		s.bound, s.devices[holder] = holder, true
	}
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
