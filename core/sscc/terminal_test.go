package sscc_test

import (
	"context"
	"io"
	"sync"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/oprf"
	"github.com/keposs/keposs/core/policy"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/core/sscc"
)

// wire joins a real MST-CC to a real SS-CC without a network.
type wire struct {
	s    *sscc.Server
	peer protocol.Peer
	mu   sync.Mutex
	n    map[string]int
}

func (w *wire) count(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n[name]++
}

func (w *wire) asked(name string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.n[name]
}

func (w *wire) Policy(ctx context.Context, r protocol.PolicyRequest) (protocol.PolicyAnswer, error) {
	w.count("policy")
	return w.s.Policy(ctx, w.peer, r)
}
func (w *wire) Fetch(ctx context.Context, r protocol.FetchRequest) (protocol.FetchAnswer, error) {
	w.count("try")
	return w.s.Fetch(ctx, w.peer, r)
}
func (w *wire) Evaluate(ctx context.Context, r protocol.EvaluateRequest) (protocol.EvaluateAnswer, error) {
	w.count("try")
	return w.s.Evaluate(ctx, w.peer, r)
}
func (w *wire) Confirm(ctx context.Context, r protocol.ConfirmRequest) (protocol.ConfirmAnswer, error) {
	w.count("confirm")
	return w.s.Confirm(ctx, w.peer, r)
}
func (w *wire) Prepare(ctx context.Context, r protocol.PrepareRequest) (protocol.PrepareAnswer, error) {
	return w.s.Prepare(ctx, w.peer, r)
}
func (w *wire) Commit(ctx context.Context, r protocol.CommitRequest) (protocol.CommitAnswer, error) {
	return w.s.Commit(ctx, w.peer, r)
}
func (w *wire) Status(ctx context.Context, r protocol.StatusRequest) (protocol.StatusAnswer, error) {
	return w.s.Status(ctx, w.peer, r)
}
func (w *wire) Unbind(ctx context.Context, r protocol.RemoveRequest) error {
	return w.s.Unbind(ctx, w.peer, r)
}
func (w *wire) Deregister(ctx context.Context, r protocol.RemoveRequest) error {
	return w.s.Deregister(ctx, w.peer, r)
}
func (w *wire) Challenge(ctx context.Context, r protocol.ChallengeRequest) (protocol.ChallengeAnswer, error) {
	return w.s.Challenge(ctx, w.peer, r)
}
func (w *wire) RecoverPolicy(ctx context.Context, r protocol.RecoverPolicyRequest) (protocol.PolicyAnswer, error) {
	return w.s.RecoverPolicy(ctx, w.peer, r)
}
func (w *wire) Rebind(ctx context.Context, r protocol.RebindRequest) error {
	return w.s.Rebind(ctx, w.peer, r)
}
func (w *wire) Attest(ctx context.Context, r protocol.AttestRequest) error {
	w.count("attest")
	return w.s.Attest(ctx, w.peer, r)
}
func (w *wire) Standing(ctx context.Context, r protocol.StandingRequest) (protocol.StandingAnswer, error) {
	return w.s.Standing(ctx, w.peer, r)
}
func (w *wire) Close() error { return nil }

// blinder is the client's side of the OPRF.
type blinder struct{}

func (blinder) FullEvaluate(key, input []byte) ([]byte, error) {
	k, err := oprf.NewKey(key)
	if err != nil {
		return nil, err
	}
	out, err := oprf.FullEvaluate(k, input)
	return out.Bytes(), err
}

func (blinder) Blind(rand io.Reader, input []byte) (protocol.Point, mstcc.Blinding, error) {
	b, err := oprf.Blind(rand, input)
	if err != nil {
		return protocol.Point{}, nil, err
	}
	return b.Element(), blinding{b}, nil
}

type blinding struct{ *oprf.Blinding }

func (b blinding) Finalize(evaluated, pub protocol.Point, proof []byte) ([]byte, error) {
	if proof != nil {
		if err := oprf.VerifyProof(pub, b.Element(), evaluated, [64]byte(proof)); err != nil {
			return nil, err
		}
	}
	out, err := b.Blinding.Finalize(evaluated)
	return out.Bytes(), err
}

// word is a knowledge source: the secret is what was typed.
type word struct{}

var strength = core.Strength{PerTry: 13000, Offline: 13000, Evidence: "counted"}

func (word) Describe(context.Context) (core.SourceInfo, error) {
	return core.SourceInfo{Name: "pin", Kind: core.KindKnowledge, Format: 1, Formats: []uint32{1},
		Samples: []core.SampleKind{core.SamplePIN}, Strength: strength}, nil
}
func (word) Configure(context.Context, core.Config) error { return nil }
func (word) Enroll(ctx context.Context, r core.EnrollRequest, p core.Prompter) (core.Enrollment, error) {
	s, err := p.Ask(ctx, core.Prompt{Kinds: []core.SampleKind{core.SamplePIN}, Label: r.Label, Purpose: core.PurposeEnroll})
	return core.Enrollment{Secret: s.Data, Helper: []byte{1}, Format: 1, Strength: strength}, err
}
func (word) Capture(ctx context.Context, r core.CaptureRequest, p core.Prompter) (core.Capture, error) {
	s, err := p.Ask(ctx, core.Prompt{Kinds: []core.SampleKind{core.SamplePIN}, Label: r.Label, Purpose: core.PurposeRecover})
	return &typed{s.Data}, err
}

type typed struct{ s *secret.Buffer }

func (t *typed) Recover(context.Context, core.RecoverRequest) (*secret.Buffer, error) {
	return t.s.Clone(), nil
}
func (t *typed) Close() error { t.s.Wipe(); return nil }

func types(s string) core.Prompter {
	return core.PrompterFunc(func(_ context.Context, p core.Prompt) (core.Sample, error) {
		return core.NewSample(p.Kinds[0], []byte(s)), nil
	})
}

// terminal opens a real module on a phone; edit may change what it is given.
func (p *phone) terminal(mode protocol.Mode, edit ...func(*mstcc.Config)) (*mstcc.Module, *wire) {
	t := p.r.t
	t.Helper()
	dir := t.TempDir() + "/user"
	keys, err := mstcc.NewFileKeyStore(dir + "-keys")
	p.r.must(err)
	prof := mstcc.DefaultProfile(mode)
	prof.SlowFloor = mstcc.MinSlowFloor
	_, server, _, err := p.r.Realm(bg)
	p.r.must(err)
	w := &wire{s: p.r.Server, peer: p.peer, n: map[string]int{}}
	cfg := mstcc.Config{
		Dir: dir, Keys: keys, Device: p.key.Public(), OPRF: blinder{}, Profile: prof,
		Binding: &mstcc.Binding{App: p.peer.App, Device: p.peer.Device, Realm: p.r.id, Server: server},
		Source:  func(context.Context, string) (core.Source, bool, error) { return word{}, false, nil },
		KDF:     func(context.Context, string) (core.KDF, bool, error) { return cheap{}, false, nil },
		Dial:    func(context.Context) (mstcc.Escrow, error) { return w, nil },
	}
	for _, fn := range edit {
		fn(&cfg)
	}
	m, err := mstcc.Open(bg, cfg)
	p.r.must(err)
	t.Cleanup(func() { _ = m.Close() })
	return m, w
}

// A real terminal and a real SS-CC run every service in both modes; a wrong
// PIN is counted, the limit locks, the administrator unlocks.
// req: K-6.2-02b, K-7.1-09c, K-7.2-03, K-7.2-D3, K-17.1-06, K-17.1-07, K-17.1-08, K-6-03, K-6.1-01a, K-6.1-01c, K-3-03, K-17.6-L1b
func TestTerminal(t *testing.T) {
	for _, mode := range []protocol.Mode{protocol.ModePlain, protocol.ModeHardened} {
		t.Run(mode.String(), func(t *testing.T) {
			r := newRealm(t)
			p := r.phone(r.app(sscc.AppRequest{}))
			m, w := p.terminal(mode)
			tree, err := policy.Parse("pin")
			r.must(err)
			res, err := m.Initialize(bg, mstcc.InitRequest{Tree: tree, KDF: core.NewParams("cheap-test", core.Param{Key: "i", N: 1024})}, types("right"))
			r.must(err)
			msg := []byte("pay 5 to bob")
			sig, _, err := m.Sign(bg, msg, nil, mstcc.OpenOptions{}, types("right"))
			r.must(err)
			if !sm.Verify(res.Sign, msg, []byte(protocol.DefaultUserID), sig) {
				t.Fatal("the signature does not verify")
			}
			if n := w.asked("try"); n != 1 {
				t.Fatalf("%d counted calls for one signature", n)
			}
			for i := range 5 {
				if _, _, err := m.Sign(bg, msg, nil, mstcc.OpenOptions{}, types("wrong")); core.CodeOf(err) != core.Auth {
					t.Fatalf("wrong pin %d: %v", i+1, err)
				}
			}
			if _, _, err := m.Sign(bg, msg, nil, mstcc.OpenOptions{}, types("right")); core.CodeOf(err) != core.Locked {
				t.Fatalf("after five wrong pins: %v", err)
			}
			r.admin(func(tok sscc.Token) { r.must(r.UnlockUser(bg, tok, p.peer.App, res.User)) })
			_, out, err := m.Sign(bg, msg, nil, mstcc.OpenOptions{}, types("right"))
			r.must(err)
			if out.Alarm || len(out.Foreign) != 0 {
				t.Fatalf("outcome %+v", out)
			}
			r.must(m.Deregister(bg, mstcc.OpenOptions{}, types("right")))
			r.admin(func(tok sscc.Token) {
				u, err := r.FindUser(bg, tok, res.User)
				r.must(err)
				if u.State != "removed" {
					t.Fatalf("user is %s", u.State)
				}
			})
		})
	}
}
