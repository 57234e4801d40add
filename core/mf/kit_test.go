package mf

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/policy"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/internal/testenv"
)

// countKDF is PBKDF2-HMAC-SM3 with i iterations (GM/T 0091), one block, and
// counts its calls. i = 1 makes it as cheap as one HMAC.
type countKDF struct {
	calls    atomic.Int64
	constant bool // a broken plugin: the same output whatever goes in
	mu       sync.Mutex
	seen     map[string]int // inputs
}

func (k *countKDF) Describe(context.Context) (core.KDFInfo, error) {
	return core.KDFInfo{Name: "pbkdf2sm3"}, nil
}
func (k *countKDF) Validate(core.Params, core.Limits) error { return nil }
func (k *countKDF) Calibrate(context.Context, time.Duration, core.Limits) (core.Params, error) {
	return cheap(1), nil
}

func (k *countKDF) Derive(_ context.Context, p core.Params, s, salt, out []byte) error {
	k.calls.Add(1)
	if k.seen != nil {
		k.mu.Lock()
		k.seen[string(s)+"|"+string(salt)]++
		k.mu.Unlock()
	}
	if k.constant {
		clear(out)
		return nil
	}
	n, _ := p.Get("i")
	u := sm.HMAC(s, append(bytes.Clone(salt), 0, 0, 0, 1))
	t := u
	for range max(n, 1) - 1 {
		u = sm.HMAC(s, u[:])
		for i := range t {
			t[i] ^= u[i]
		}
	}
	copy(out, t[:])
	return nil
}

func cheap(i uint64) core.Params { return core.NewParams("pbkdf2sm3", core.Param{Key: "i", N: i}) }

// hmacOPRF stands for core/oprf: the schedule only needs a keyed function.
type hmacOPRF struct{}

func (hmacOPRF) FullEvaluate(key, input []byte) ([]byte, error) {
	h := sm.HMAC(key, input)
	return h[:], nil
}

// stream is a deterministic reader: SM3 in counter mode over a seed.
type stream struct {
	mu   sync.Mutex
	seed string
	n    uint64
	buf  []byte
}

func (s *stream) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range p {
		if len(s.buf) == 0 {
			h := sm.SM3(binary.BigEndian.AppendUint64([]byte(s.seed), s.n))
			s.n++
			s.buf = h[:]
		}
		p[i], s.buf = s.buf[0], s.buf[1:]
	}
	return len(p), nil
}

// user is a person with a terminal: what they know and are, and the device.
type user struct {
	t       testing.TB
	rand    io.Reader
	kdf     *countKDF
	secrets map[string][]byte // factor label → what the source gives
	helpers map[string][]byte
	device  *secret.Buffer
	key     *sm.PrivateKey
	code    *RecoveryCode
	bundle  *Bundle
}

var kinds = map[string]core.FactorKind{"pin": core.KindKnowledge, "gesture": core.KindKnowledge, "token": core.KindPossession,
	"face": core.KindBiometric, "fingerprint": core.KindBiometric}

func newUser(t testing.TB, seed string) *user {
	t.Helper()
	u := &user{t: t, rand: rand.Reader, kdf: &countKDF{}, secrets: map[string][]byte{}, helpers: map[string][]byte{}}
	if seed != "" {
		u.rand = &stream{seed: seed}
	}
	var err error
	if u.bundle, err = NewBundle(u.rand); err != nil {
		t.Fatal(err)
	}
	u.newDevice()
	return u
}

func (u *user) newDevice() {
	var err error
	if u.device, err = secret.Read(u.rand, DeviceSecret); err != nil {
		u.t.Fatal(err)
	}
	if u.key, err = sm.GenerateKey(u.rand); err != nil {
		u.t.Fatal(err)
	}
}

// knows returns the label's secret, inventing a plausible one.
func (u *user) knows(label string) []byte {
	if s, ok := u.secrets[label]; ok {
		return s
	}
	switch kinds[policy.SourceOf(label)] {
	case core.KindBiometric:
		b := make([]byte, 32)
		h := make([]byte, 96)
		if _, err := io.ReadFull(u.rand, b); err != nil {
			u.t.Fatal(err)
		}
		if _, err := io.ReadFull(u.rand, h); err != nil {
			u.t.Fatal(err)
		}
		u.secrets[label], u.helpers[label] = b, h
	case core.KindPossession:
		u.secrets[label] = []byte("token of " + label)
	default:
		u.secrets[label] = []byte("1357924-" + label)
		u.helpers[label] = nil
	}
	return u.secrets[label]
}

func (u *user) enrollment(label string) core.Enrollment {
	s := u.knows(label)
	return core.Enrollment{Secret: secret.Copy(s), Helper: u.helpers[label], Format: 1,
		Strength: core.Strength{PerTry: 19931, Offline: 19931, Evidence: "counted: test"}}
}

func tree(t testing.TB, text string) *policy.Tree {
	t.Helper()
	tr, err := policy.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func specs(tr *policy.Tree) []FactorSpec {
	var out []FactorSpec
	for _, l := range tr.Labels() {
		out = append(out, FactorSpec{Label: l, Kind: kinds[policy.SourceOf(l)]})
	}
	return out
}

var (
	testRealm = protocol.ID{0: 0xaa, 15: 1}
	testApp   = protocol.ID{0: 0xbb, 15: 2}
)

func (u *user) params(text string, mode protocol.Mode, iter uint64) Params {
	tr := tree(u.t, text)
	root := RootWrapped
	if len(tr.Masks()) == 1 {
		root = RootDirect
	}
	return Params{Root: root, KDF: cheap(iter), Mode: mode, Realm: testRealm, App: testApp, Tree: tr, Factors: specs(tr),
		Device: DeviceHolder{Secret: u.device, Key: u.key.Public(), Slot: "device-1"}, Recovery: u.code, OPRF: hmacOPRF{}}
}

// state is one stored generation.
type state struct {
	sealed *Sealed
	blob   []byte
}

func (u *user) begin(x Params) *Enrolment {
	u.t.Helper()
	e, err := NewEnrolment(x, u.rand)
	if err != nil {
		u.t.Fatal(err)
	}
	return e
}

func (u *user) fill(e interface {
	TransformKey(string) (*secret.Buffer, error)
	SetFactor(string, core.Enrollment) error
}, labels ...string) {
	u.t.Helper()
	for _, l := range labels {
		tk, err := e.TransformKey(l)
		if err != nil {
			u.t.Fatal(err)
		}
		tk.Wipe()
		en := u.enrollment(l)
		err = e.SetFactor(l, en)
		en.Secret.Wipe()
		if err != nil {
			u.t.Fatal(err)
		}
	}
}

func (u *user) seal(e *Enrolment) *state {
	u.t.Helper()
	u.fill(e, e.Missing()...)
	s, err := e.Seal(context.Background(), u.kdf, u.bundle)
	if err != nil {
		u.t.Fatal(err)
	}
	return &state{sealed: s, blob: s.Blob}
}

// enrol is a whole first enrolment.
func (u *user) enrol(x Params) *state {
	u.t.Helper()
	e := u.begin(x)
	defer e.Wipe()
	return u.seal(e)
}

func expect(s *state) Expect {
	return Expect{Slots: []*Slot{&s.sealed.Slot}, App: testApp, KDFs: []string{"pbkdf2sm3"}, AllowNoAnchor: true}
}

func (u *user) check(s *state) *Checked {
	u.t.Helper()
	c, err := Check(s.sealed.Policy, expect(s))
	if err != nil {
		u.t.Fatal(err)
	}
	return c
}

// attempt is one derive with the labels at hand and these secrets.
func (u *user) attempt(s *state, c *Checked, have []string, secrets map[string][]byte, keep bool) (*Opened, error) {
	holder, hs := "device", u.device
	if !c.Policy.Approved() {
		holder, hs = "", nil
	}
	o, err := NewOpener(c, holder, hs)
	if err != nil {
		return nil, err
	}
	return u.run(o, s, have, secrets, keep)
}

func (u *user) run(o *Opener, s *state, have []string, secrets map[string][]byte, keep bool) (*Opened, error) {
	defer o.Wipe()
	if keep {
		o.Keep()
	}
	set, err := o.Choose(have)
	if err != nil {
		return nil, err
	}
	for _, l := range set {
		in, err := o.RecoverInputs(l)
		if err != nil {
			return nil, err
		}
		in.Wipe()
		b := secret.Copy(secrets[l])
		err = o.SetFactor(l, b)
		b.Wipe()
		if err != nil {
			return nil, err
		}
	}
	if err := o.Stretch(context.Background(), u.kdf); err != nil {
		return nil, err
	}
	var ans []byte
	if in := o.OPRFInput(); in != nil {
		ans, _ = hmacOPRF{}.FullEvaluate(s.sealed.OPRFKey.Bytes(), in.Bytes())
	}
	return o.Finish(ans)
}

// open opens with every factor right and compares the keys.
func (u *user) open(s *state, have ...string) *Opened {
	u.t.Helper()
	op, err := u.attempt(s, u.check(s), have, u.secrets, true)
	if err != nil {
		u.t.Fatalf("open with %v: %v", have, err)
	}
	b, err := op.OpenBlob(s.blob)
	if err != nil {
		u.t.Fatal(err)
	}
	if b.Pubs() != u.bundle.Pubs() {
		u.t.Fatal("other keys came out")
	}
	b.Wipe()
	return op
}

// with returns the user's secrets with one replaced.
func (u *user) with(label string, v []byte) map[string][]byte {
	out := map[string][]byte{}
	for l, s := range u.secrets {
		out[l] = s
	}
	out[label] = v
	return out
}

// level is KEPOSS_TEST_LEVEL.
func level() int { return testenv.Level() }
