package sscc_test

import (
	"context"
	"crypto/rand"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mf"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/policy"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/core/sscc"
)

// A seat is a terminal that is opened again and again: its folder, its key
// store, and the device it is enrolled as.
type seat struct {
	*phone
	dir  string
	keys *mstcc.FileKeyStore
	mode protocol.Mode
}

func (p *phone) seat(mode protocol.Mode) *seat {
	p.r.t.Helper()
	dir := p.r.t.TempDir() + "/user"
	keys, err := mstcc.NewFileKeyStore(dir + "-keys")
	p.r.must(err)
	p.r.must(keys.Store(bg, mstcc.DeviceKeyName(1), p.key.Scalar()))
	return &seat{phone: p, dir: dir, keys: keys, mode: mode}
}

// device loads a device key.
func (s *seat) device(n uint64) sm.PublicKey {
	s.r.t.Helper()
	d, err := s.keys.Load(bg, mstcc.DeviceKeyName(n))
	s.r.must(err)
	k, err := sm.NewPrivateKey(d.Bytes())
	s.r.must(err)
	return k.Public()
}

// open is the module in a new process.
func (s *seat) open() *mstcc.Module {
	s.r.t.Helper()
	prof := mstcc.DefaultProfile(s.mode)
	prof.SlowFloor = mstcc.MinSlowFloor
	_, server, _, err := s.r.Realm(bg)
	s.r.must(err)
	dial := func(n uint64) func(context.Context) (mstcc.Escrow, error) {
		return func(context.Context) (mstcc.Escrow, error) {
			peer := s.peer
			peer.Key = s.device(n).Compressed()
			return &wire{s: s.r.Server, peer: peer, n: map[string]int{}}, nil
		}
	}
	m, err := mstcc.Open(bg, mstcc.Config{
		Dir: s.dir, Keys: s.keys, Device: s.device(1), OPRF: blinder{}, Profile: prof,
		Binding: &mstcc.Binding{App: s.peer.App, Device: s.peer.Device, Realm: s.r.id, Server: server},
		Source:  func(context.Context, string) (core.Source, bool, error) { return word{}, false, nil },
		KDF:     func(context.Context, string) (core.KDF, bool, error) { return cheap{}, false, nil },
		Dial:    dial(1), DialNext: dial(2),
	})
	s.r.must(err)
	s.r.t.Cleanup(func() { _ = m.Close() })
	return m
}

// asks answers entries with one text and enrolments with another.
func asks(enter, enrol string) core.Prompter {
	return core.PrompterFunc(func(_ context.Context, p core.Prompt) (core.Sample, error) {
		if p.Purpose == core.PurposeRecover {
			return core.NewSample(p.Kinds[0], []byte(enter)), nil
		}
		return core.NewSample(p.Kinds[0], []byte(enrol)), nil
	})
}

// started initialises a user with one PIN.
func (s *seat) started() *mstcc.Module {
	s.r.t.Helper()
	m := s.open()
	tree, err := policy.Parse("pin")
	s.r.must(err)
	_, err = m.Initialize(bg, mstcc.InitRequest{Tree: tree, KDF: core.NewParams("cheap-test", core.Param{Key: "i", N: 1024})}, types("first"))
	s.r.must(err)
	return m
}

func sign(m *mstcc.Module, pin string) core.Code {
	_, _, err := m.Sign(bg, []byte("m"), nil, mstcc.OpenOptions{}, types(pin))
	return core.CodeOf(err)
}

// paper asks for a sheet and keeps it.
func paper(t *testing.T) (*mstcc.NewSheet, **mf.Sheet) {
	t.Helper()
	code, err := mf.NewRecoveryCode(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	kept := new(*mf.Sheet)
	return &mstcc.NewSheet{Code: code, Endpoint: "escrow.test:7443", Show: func(_ context.Context, s *mf.Sheet) (err error) {
		*kept, err = mf.ParseSheet(s.Payload().Bytes())
		return err
	}}, kept
}

// A real terminal lives its life at a real SS-CC: recovery code, revoke,
// recovery on another terminal, in both modes.
// req: K-17.1-D1
func TestTerminalLife(t *testing.T) {
	for _, mode := range []protocol.Mode{protocol.ModePlain, protocol.ModeHardened} {
		t.Run(mode.String(), func(t *testing.T) {
			r := newRealm(t)
			app := r.app(sscc.AppRequest{})
			s := r.phone(app).seat(mode)
			m := s.started()
			n, _ := paper(t)
			_, err := m.AddRecovery(bg, *n, mstcc.OpenOptions{}, types("first"))
			r.must(err)
			oldKey := s.device(1)
			n, kept := paper(t)
			got, err := m.Revoke(bg, mstcc.RevokeRequest{Sheet: n}, mstcc.OpenOptions{}, asks("first", "second"))
			r.must(err)
			if got.MKGen != 2 || got.Epoch != 3 {
				t.Fatalf("%+v", got)
			}
			if s.device(1) == oldKey {
				t.Fatal("the device key stayed")
			}
			old := s.peer
			old.Key = oldKey.Compressed()
			user, _ := m.UserID()
			_, err = r.Policy(bg, old, protocol.PolicyRequest{User: user})
			want(t, err, core.Refused)
			want(t, codeErr(sign(m, "first")), core.Auth)
			want(t, codeErr(sign(s.open(), "second")), core.Unknown)

			y := r.phone(app).seat(mode)
			rm := y.open()
			res, err := rm.Recover(bg, mstcc.RecoverRequest{Sheet: *kept}, mstcc.OpenOptions{}, asks("second", "third"))
			r.must(err)
			if res.User != user {
				t.Fatal("another user came back")
			}
			want(t, codeErr(sign(rm, "third")), core.Unknown)
			want(t, codeErr(sign(s.open(), "second")), core.Refused)
			z := r.phone(app).seat(mode)
			_, err = z.open().Recover(bg, mstcc.RecoverRequest{Sheet: *kept}, mstcc.OpenOptions{}, asks("third", "fourth"))
			want(t, err, core.Refused) // the used sheet's code is no holder any more
		})
	}
}

// codeErr turns a code back into an error, nil for none.
func codeErr(c core.Code) error {
	if c == core.Unknown {
		return nil
	}
	return c
}

// SS-CC killed at each step of storing a revoke, the terminal with it: after
// both restart, exactly one of old and new PIN opens, and the device record
// holds one key.
// req: K-17.1-D1
func TestCrashInRevoke(t *testing.T) {
	for at, pin := range map[string]string{"prepare.stored": "first", "commit.stored": "second", "commit.rekeyed": "second", "commit.marked": "second"} {
		t.Run(at, func(t *testing.T) {
			r := killable(t)
			s := r.phone(r.app(sscc.AppRequest{})).seat(protocol.ModeHardened)
			m := s.started()
			r.dies(at, func() {
				_, _ = m.Revoke(bg, mstcc.RevokeRequest{}, mstcc.OpenOptions{}, asks("first", "second"))
			})
			m = s.open()
			want(t, codeErr(sign(m, pin)), core.Unknown)
			other := map[string]string{"first": "second", "second": "first"}[pin]
			want(t, codeErr(sign(m, other)), core.Auth)
			if pin == "first" {
				_, err := m.Revoke(bg, mstcc.RevokeRequest{}, mstcc.OpenOptions{}, asks("first", "second"))
				r.must(err)
				want(t, codeErr(sign(s.open(), "second")), core.Unknown)
			}
		})
	}
}

// A device key may change only with a revoke, never at an initialisation, in an
// edit or after a rebind.
// req: K-5.3-04a
func TestForeignDeviceKey(t *testing.T) {
	r := newRealm(t)
	app := r.app(sscc.AppRequest{})
	a := r.phone(app).account(protocol.ModePlain)
	conf, other := a.conf, point(newKey(t))
	named := func(key protocol.Point, mkGen uint64) func(*account) {
		return func(a *account) { a.pol.Anchor[0].P, a.pol.MKGen = key, mkGen }
	}
	b := r.phone(app).newAccount(protocol.ModePlain)
	b.pol.Anchor[0].P = other
	_, err := r.Prepare(bg, b.peer, b.prepare())
	want(t, err, core.Invalid)
	q, _ := a.replace(named(other, 1))
	_, err = r.Prepare(bg, a.peer, q)
	want(t, err, core.Invalid)
	a.epoch--
	// The proof is over the key the policy names, not over the caller's.
	q, _ = a.replace(named(other, 2))
	_, err = r.Prepare(bg, a.peer, q)
	r.must(err)
	_, err = r.Commit(bg, a.peer, a.commit(q, conf))
	want(t, err, core.Refused)
	pol, err := r.Policy(bg, a.peer, protocol.PolicyRequest{User: a.user})
	r.must(err)
	if pol.Gen != 1 {
		t.Errorf("after the refused Commit: generation %d", pol.Gen)
	}
	old := a.peer
	a.peer.Key = other
	_, err = r.Commit(bg, old, a.commit(q, conf))
	r.must(err)
	_, err = r.Policy(bg, old, protocol.PolicyRequest{User: a.user})
	want(t, err, core.Refused)
	_, err = r.Policy(bg, a.peer, protocol.PolicyRequest{User: a.user})
	r.must(err)
}
