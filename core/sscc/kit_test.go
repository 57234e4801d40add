package sscc_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mf"
	"github.com/keposs/keposs/core/oprf"
	"github.com/keposs/keposs/core/policy"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/core/sscc"
)

var bg = context.Background()

// table is a backend of one map with every promise of core.Backend but
// durability, and knobs to break it. The conformance kit for real backends is
// in escrow; core may not import it.
type table struct {
	mu      sync.Mutex
	m       map[string]core.Record
	latency time.Duration
	// fault is asked before each mutation is applied; a result is given instead.
	fault func(m core.Mutation) error
	// after is asked after each mutation was applied.
	after   func(m core.Mutation) error
	commits int
	batches int
	reads   []int // keys of each GetMany
}

func newTable() *table { return &table{m: map[string]core.Record{}} }

// snapshot is a copy, to roll back to.
func (t *table) snapshot() *table {
	t.mu.Lock()
	defer t.mu.Unlock()
	return &table{m: maps.Clone(t.m)}
}

func (t *table) Describe(context.Context) (core.BackendInfo, error) {
	return core.BackendInfo{Name: "table"}, nil
}
func (t *table) Configure(context.Context, core.Config) error { return nil }
func (t *table) Close() error                                 { return nil }

func (t *table) GetMany(_ context.Context, keys []core.Key, o core.ReadOpts) ([]core.Record, error) {
	if t.latency > 0 {
		time.Sleep(t.latency)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reads = append(t.reads, len(keys))
	out := make([]core.Record, len(keys))
	for i, k := range keys {
		r := t.m[string(k)]
		r.Key, r.Hot, r.Blob = slices.Clone(k), bytes.Clone(r.Hot), bytes.Clone(r.Blob)
		if o.HotOnly {
			r.Blob = nil
		}
		out[i] = r
	}
	return out, nil
}

func (t *table) CommitMany(_ context.Context, ms []core.Mutation) ([]core.Result, error) {
	if t.latency > 0 {
		time.Sleep(t.latency)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.batches++
	out := make([]core.Result, len(ms))
	for i, m := range ms {
		out[i] = t.apply(m)
	}
	return out, nil
}

func (t *table) apply(m core.Mutation) core.Result {
	if len(m.Hot) > core.MaxHot || len(m.Blob) > core.MaxBlob {
		return core.Result{Err: core.Errorf(core.TooLarge, "table", "record")}
	}
	if t.fault != nil {
		if err := t.fault(m); err != nil {
			return core.Result{Err: err}
		}
	}
	r := t.m[string(m.Key)]
	if r.ReqID == m.ReqID && r.Version == m.Expect+1 {
		return core.Result{Version: r.Version}
	}
	if r.Version != m.Expect {
		return core.Result{Err: &core.Error{Code: core.Conflict, Op: "table", Current: r.Version}}
	}
	if m.Op == core.OpPut {
		r.Blob = bytes.Clone(m.Blob)
	}
	r.Hot, r.Version, r.ReqID, r.Key = bytes.Clone(m.Hot), r.Version+1, m.ReqID, slices.Clone(m.Key)
	t.m[string(m.Key)] = r
	t.commits++
	if t.after != nil {
		if err := t.after(m); err != nil {
			return core.Result{Err: err}
		}
	}
	return core.Result{Version: r.Version}
}

func (t *table) Scan(_ context.Context, q core.ScanRequest) (core.Page, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var p core.Page
	for _, k := range slices.Sorted(maps.Keys(t.m)) {
		if k <= string(q.After) {
			continue
		}
		if len(p.Records) == q.Limit {
			p.Next = p.Records[len(p.Records)-1].Key
			return p, nil
		}
		r := t.m[k]
		if !q.Blob {
			r.Blob = nil
		}
		p.Records = append(p.Records, r)
	}
	return p, nil
}

// cheap is a KDF for tests.
type cheap struct{}

func (cheap) Describe(context.Context) (core.KDFInfo, error) {
	return core.KDFInfo{Name: "cheap-test", Default: core.NewParams("cheap-test", core.Param{Key: "i", N: 1024})}, nil
}
func (cheap) Validate(core.Params, core.Limits) error { return nil }
func (cheap) Derive(_ context.Context, _ core.Params, sec, salt, out []byte) error {
	h := sm.HMAC(salt, sec)
	copy(out, sm.KDF(h[:], len(out)))
	return nil
}
func (cheap) Calibrate(context.Context, time.Duration, core.Limits) (core.Params, error) {
	return core.NewParams("cheap-test", core.Param{Key: "i", N: 1024}), nil
}

// clock is a settable clock, shared by the replicas of a realm.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

const adminPassword = "correct horse battery"

func password(text string) *secret.Buffer { return secret.Copy([]byte(text)) }

// realm is one SS-CC over one table.
type realm struct {
	t     *testing.T
	b     *table
	clock *clock
	cfg   sscc.Config
	*sscc.Server
	kill string // step to die at; set while nothing runs
	tok  sscc.Token
	id   protocol.ID
}

func baseConfig(b core.Backend, c *clock) sscc.Config {
	return sscc.Config{Backend: b, KDF: cheap{}, OPRF: sscc.NewOPRF(), Clock: c.now,
		Limits: sscc.Limits{LoginDelay: time.Microsecond, AppRate: 1e9, DeviceRate: 1e9, PolicyRate: 1e9}}
}

// newRealm sets up and unseals an SS-CC.
func newRealm(t *testing.T, edit ...func(*sscc.Config)) *realm {
	t.Helper()
	r := &realm{t: t, b: newTable(), clock: &clock{t: time.Unix(1_800_000_000, 0)}}
	r.cfg = baseConfig(r.b, r.clock)
	for _, fn := range edit {
		fn(&r.cfg)
	}
	r.Server = r.start()
	r.must(r.SetPassword(bg, password(adminPassword), password(adminPassword)))
	r.must(r.Unseal(bg, password(adminPassword)))
	id, _, ok, err := r.Realm(bg)
	if !ok || err != nil {
		t.Fatal("no realm", err)
	}
	r.id = id
	return r
}

// start is another replica over the same table, started and not unsealed when
// the realm is set up.
func (r *realm) start() *sscc.Server {
	r.t.Helper()
	s, err := sscc.New(r.cfg)
	r.must(err)
	r.must(s.Start(bg))
	r.t.Cleanup(func() { _ = s.Close() })
	return s
}

// replica is an unsealed one.
func (r *realm) replica() *sscc.Server {
	r.t.Helper()
	s := r.start()
	r.must(s.Unseal(bg, password(adminPassword)))
	return s
}

func (r *realm) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// want fails unless err has the code (Unknown = none).
func want(t testing.TB, err error, code core.Code) {
	t.Helper()
	if core.CodeOf(err) != code {
		t.Fatalf("got %v (%s), want %s", err, core.CodeOf(err), code)
	}
}

// admin runs fn in an administrator's session.
func (r *realm) admin(fn func(tok sscc.Token)) {
	r.t.Helper()
	tok, err := r.Login(bg, password(adminPassword))
	r.must(err)
	fn(tok)
	r.must(r.Logout(bg, tok))
}

func (r *realm) app(q sscc.AppRequest) (id protocol.ID) {
	r.t.Helper()
	if q.Name == "" {
		q.Name = "test"
	}
	r.admin(func(tok sscc.Token) {
		var err error
		id, err = r.CreateApp(bg, tok, q)
		r.must(err)
	})
	return id
}

// phone is an enrolled device.
type phone struct {
	r    *realm
	key  *sm.PrivateKey
	peer protocol.Peer
}

func newID() (id protocol.ID) {
	_, _ = rand.Read(id[:])
	return id
}

func newKey(t testing.TB) *sm.PrivateKey {
	k, err := sm.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// enrolRequest makes the request of one device for a ticket.
func (r *realm) enrolRequest(et sscc.EnrolTicket, device protocol.ID, key *sm.PrivateKey) protocol.EnrolRequest {
	r.t.Helper()
	c, err := r.EnrolChallenge(bg, et.ID)
	r.must(err)
	q := protocol.EnrolRequest{Ticket: et.ID, App: et.App, Device: device, Key: key.Public().Compressed(), Challenge: c}
	q.MAC = sm.HMAC(et.Key.Bytes(), protocol.EnrolMessage(q.App, q.Device, q.Key, q.Challenge))
	return q
}

func (r *realm) ticket(app protocol.ID) (et sscc.EnrolTicket) {
	r.t.Helper()
	r.admin(func(tok sscc.Token) {
		var err error
		et, err = r.NewTicket(bg, tok, app)
		r.must(err)
	})
	return et
}

func (r *realm) phone(app protocol.ID) *phone {
	r.t.Helper()
	p := &phone{r: r, key: newKey(r.t), peer: protocol.Peer{App: app, Device: newID()}}
	p.peer.Key = p.key.Public().Compressed()
	_, err := r.Enrol(bg, r.enrolRequest(r.ticket(app), p.peer.Device, p.key))
	r.must(err)
	return p
}

// account is a user as the terminal holds it: real keys for the proofs, a
// policy that is right in form, and sealed bytes nobody opens here.
type account struct {
	*phone
	user  protocol.ID
	pol   *mf.Policy
	conf  *sm.PrivateKey
	rec   *sm.PrivateKey
	pubs  protocol.Pubs
	oprf  *oprf.Key
	blob  []byte
	epoch uint64

	before *sm.PrivateKey // the confirm key of the generation before
}

func sum(b []byte) [32]byte { return sm.SM3(b) }

// setOPRF puts a key into the policy.
func (a *account) setOPRF(k *oprf.Key) {
	pub := protocol.Point(k.PublicKey())
	a.oprf, a.pol.Escrow.OPRF, a.pol.Escrow.Realms[0].K = k, mf.OPRFSM2, &pub
}

// harden changes the policy's mode.
func (a *account) harden() {
	a.pol.Escrow.Mode = protocol.ModeHardened
	k, err := oprf.GenerateKey(nil)
	if err != nil {
		a.r.t.Fatal(err)
	}
	a.setOPRF(k)
}

// evaluate makes one counted try with a random element.
func (a *account) evaluate() (protocol.EvaluateAnswer, error) {
	return a.r.Evaluate(bg, a.peer, protocol.EvaluateRequest{User: a.user, Gen: a.epoch, Attempt: newID(), Blinded: point(newKey(a.r.t))})
}

func point(k *sm.PrivateKey) protocol.Point { return k.Public().Compressed() }

// newAccount draws a user's keys for p in a mode.
func (p *phone) newAccount(mode protocol.Mode) *account {
	t := p.r.t
	a := &account{phone: p, conf: newKey(t), rec: newKey(t), epoch: 1}
	a.pubs = protocol.Pubs{Sign: point(newKey(t)), Enc: point(newKey(t))}
	tree, err := policy.Parse("pin")
	if err != nil {
		t.Fatal(err)
	}
	a.pol = &mf.Policy{Suite: mf.SuiteSM, KeyID: newID(), MKGen: 1, Epoch: 1, Root: mf.RootDirect, Tree: tree,
		KDF:     core.NewParams("cheap-test", core.Param{Key: "i", N: 1024}),
		Escrow:  mf.Escrow{Mode: mode, T: 1, N: 1, Realms: []mf.Realm{{ID: p.r.id, Index: 1}}},
		Pubs:    sm.SM3(a.pubs.Encode()),
		Factors: []mf.Factor{{ID: "pin", Kind: core.KindKnowledge, Source: "pin", Format: 1, Rev: 1, PerTry: 13000, Offline: 13000, Helper: []byte{1}}},
		Sets:    []mf.Set{{Members: 1}},
		PPol:    point(newKey(t))}
	a.next()
	return a
}

// next changes what a new generation changes: confirm key, sealed bytes, OPRF key.
func (a *account) next() {
	t := a.r.t
	a.conf = newKey(t)
	a.blob = make([]byte, 300)
	_, _ = rand.Read(a.blob)
	a.pol.PConf, a.pol.Epoch = point(a.conf), a.epoch
	a.pol.Anchor = []mf.Holder{{ID: "device", Kind: mf.HolderDevice, Rev: 1, P: a.peer.Key}, {ID: "recovery", Kind: mf.HolderRecovery, Rev: 1, P: point(a.rec)}}
	if a.pol.Escrow.Mode == protocol.ModeHardened {
		a.harden()
	}
}

func (a *account) prepare() protocol.PrepareRequest {
	q := protocol.PrepareRequest{Init: a.user.IsZero(), User: a.user, NewGen: a.pol.Epoch, Idem: newID(), Policy: mf.EncodePolicy(a.pol), Sealed: a.blob, Pubs: a.pubs}
	if !q.Init {
		q.OldGen = a.pol.Epoch - 1
	}
	if a.oprf != nil {
		q.OPRFKey = a.oprf.Bytes().Bytes()
	}
	return q
}

// commit signs the Commit of q with conf.
func (a *account) commit(q protocol.PrepareRequest, conf *sm.PrivateKey) protocol.CommitRequest {
	m := protocol.CommitMessage(protocol.Commit{Realm: a.r.id, App: a.peer.App, User: q.User, Idem: q.Idem, OldGen: q.OldGen, NewGen: q.NewGen,
		Policy: sm.SM3(q.Policy), Sealed: sm.SM3(q.Sealed), Pubs: sm.SM3(q.Pubs.Encode()), OPRFKey: sm.SM3(q.OPRFKey), Device: a.peer.Key})
	return protocol.CommitRequest{User: q.User, Idem: q.Idem, Proof: a.sign(conf, m, protocol.ConfirmID)}
}

func (a *account) sign(k *sm.PrivateKey, msg []byte, id string) protocol.Sig {
	sig, err := k.Sign(rand.Reader, msg, []byte(id))
	if err != nil {
		a.r.t.Fatal(err)
	}
	return sig
}

// account initialises a user.
func (p *phone) account(mode protocol.Mode) *account {
	p.r.t.Helper()
	a := p.newAccount(mode)
	q := a.prepare()
	_, err := p.r.Prepare(bg, p.peer, q)
	p.r.must(err)
	ans, err := p.r.Commit(bg, p.peer, a.commit(q, a.conf))
	p.r.must(err)
	a.user = ans.User
	return a
}

// replace moves to the next generation; edit may change the policy first.
func (a *account) replace(edit func(*account)) (protocol.PrepareRequest, protocol.CommitRequest) {
	old := a.conf
	a.before = old
	a.epoch++
	a.next()
	if edit != nil {
		edit(a)
	}
	q := a.prepare()
	return q, a.commit(q, old)
}

func (a *account) fetch() (protocol.FetchAnswer, error) { return a.fetchAs(newID()) }

func (a *account) fetchAs(attempt protocol.ID) (protocol.FetchAnswer, error) {
	return a.r.Fetch(bg, a.peer, protocol.FetchRequest{User: a.user, Gen: a.epoch, Attempt: attempt})
}

func (a *account) confirm(es ...protocol.SeqTag) protocol.ConfirmRequest {
	return protocol.ConfirmRequest{User: a.user, Gen: a.epoch, Entries: es,
		Sig: a.sign(a.conf, protocol.ConfirmMessage(a.r.id, a.peer.App, a.user, a.epoch, es), protocol.ConfirmID)}
}

func (a *account) removal(deregister bool) protocol.RemoveRequest {
	return protocol.RemoveRequest{User: a.user, Gen: a.epoch,
		Sig: a.sign(a.conf, protocol.RemoveMessage(deregister, a.r.id, a.peer.App, a.user, a.epoch, a.peer.Device), protocol.ConfirmID)}
}

func (a *account) status() protocol.StatusAnswer {
	a.r.t.Helper()
	st, err := a.r.Status(bg, a.peer, protocol.StatusRequest{User: a.user})
	a.r.must(err)
	return st
}

func held(t protocol.Tries) (es []protocol.SeqTag) {
	for _, h := range t.Held {
		es = append(es, protocol.SeqTag{Seq: h.Seq, Tag: h.Tag})
	}
	return es
}
