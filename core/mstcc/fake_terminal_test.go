package mstcc_test

import (
	"context"
	"crypto/rand"
	"sync"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/policy"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
)

// terminal is everything one test needs.
type terminal struct {
	t     *testing.T
	dir   string
	keys  *mstcc.FileKeyStore
	srv   *server
	id    protocol.ID
	who   sm.PublicKey // SS-CC's identity key
	pin   *word
	bio   map[string]*bio
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
	if err := keys.Store(ctx, mstcc.DeviceKeyName(1), k.Scalar()); err != nil {
		t.Fatal(err)
	}
	who, err := sm.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	prof := mstcc.DefaultProfile(protocol.ModePlain)
	prof.SlowFloor = mstcc.MinSlowFloor
	return &terminal{t: t, dir: dir, keys: keys, srv: newServer(k.Public()), id: protocol.ID{1}, who: who.Public(), pin: &word{name: "pin"},
		bio: map[string]*bio{"face": {name: "face"}, "fingerprint": {name: "fingerprint"}}, prof: prof}
}

// second is another terminal of the same SS-CC, its device enrolled.
func (x *terminal) second() *terminal {
	y := newTerminal(x.t)
	x.srv.mu.Lock()
	x.srv.devices[y.device(1).Compressed()] = true
	x.srv.mu.Unlock()
	y.srv, y.who, y.id, y.bio = x.srv, x.who, protocol.ID{2}, x.bio
	return y
}

// device is the public half of a device key; zero when there is none.
func (x *terminal) device(n uint64) (pub sm.PublicKey) {
	d, err := x.keys.Load(ctx, mstcc.DeviceKeyName(n))
	if err != nil {
		return pub
	}
	k, err := sm.NewPrivateKey(d.Bytes())
	if err != nil {
		x.t.Fatal(err)
	}
	return k.Public()
}

func (x *terminal) config() mstcc.Config {
	dial := func(n uint64) func(context.Context) (mstcc.Escrow, error) {
		return func(context.Context) (mstcc.Escrow, error) { return link{x.srv, x.device(n).Compressed()}, nil }
	}
	return mstcc.Config{
		Dir: x.dir, Keys: x.keys, Device: x.device(1),
		Binding: &mstcc.Binding{App: x.srv.app, Device: x.id, Realm: x.srv.realm, Server: x.who},
		Source: func(_ context.Context, name string) (core.Source, bool, error) {
			if b := x.bio[name]; b != nil {
				return b, false, nil
			}
			if name == "pin" {
				return x.pin, false, nil
			}
			return &word{name: name}, false, nil
		},
		KDF:  func(context.Context, string) (core.KDF, bool, error) { return cheap{}, false, nil },
		Dial: dial(1), DialNext: dial(2), OPRF: testOPRF{},
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
