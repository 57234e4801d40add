package sscc_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/policy"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/core/sscc"
)

// draws is a random source that remembers what it gave: the test learns d_M
// from it, which no interface of the module shows.
type draws struct {
	mu  sync.Mutex
	all [][]byte
}

func (d *draws) Read(p []byte) (int, error) {
	_, _ = rand.Read(p)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = append(d.all, bytes.Clone(p))
	return len(p), nil
}

// key finds the draw that became the private key of pub.
func (d *draws) key(t *testing.T, pub sm.PublicKey) []byte {
	t.Helper()
	for _, b := range d.all {
		if len(b) != 32 {
			continue
		}
		if k, err := sm.NewPrivateKey(b); err == nil && k.Public() == pub {
			return b
		}
	}
	t.Fatal("no draw became the key: the test does not know what to look for")
	return nil
}

// tap keeps every request and answer that carries sealed keys.
type tap struct {
	*wire
	sent []byte
}

func (x *tap) Prepare(ctx context.Context, r protocol.PrepareRequest) (protocol.PrepareAnswer, error) {
	x.sent = append(append(append(x.sent, r.Sealed...), r.Policy...), r.OPRFKey...)
	return x.wire.Prepare(ctx, r)
}

func (x *tap) Fetch(ctx context.Context, r protocol.FetchRequest) (protocol.FetchAnswer, error) {
	a, err := x.wire.Fetch(ctx, r)
	x.sent = append(x.sent, a.Sealed...)
	return a, err
}

// No 16 bytes of d_M, nor of the second private key, cross to SS-CC, rest in
// its database or on the terminal's disk: only what MK sealed does.
// req: K-5.1-02, K-15-01b, K-15.5-03a, K-15.5-04, K-15.4-L2a, K-15.5-01a, G-7.9-07, X-17, K-10.2.1-01, G-7.3-04
func TestPrivateKeysStaySealed(t *testing.T) {
	for _, mode := range []protocol.Mode{protocol.ModePlain, protocol.ModeHardened} {
		t.Run(mode.String(), func(t *testing.T) {
			r := newRealm(t)
			p := r.phone(r.app(sscc.AppRequest{}))
			d := &draws{}
			var x *tap
			var dir string
			m, _ := p.terminal(mode, func(c *mstcc.Config) {
				c.Rand, dir = d, c.Dir
				dial := c.Dial
				c.Dial = func(ctx context.Context) (mstcc.Escrow, error) {
					e, err := dial(ctx)
					x = &tap{wire: e.(*wire)}
					return x, err
				}
			})
			tree, err := policy.Parse("pin")
			r.must(err)
			res, err := m.Initialize(bg, mstcc.InitRequest{Tree: tree, KDF: core.NewParams("cheap-test", core.Param{Key: "i", N: 1024})}, types("right"))
			r.must(err)
			_, _, err = m.Sign(bg, []byte("m"), nil, mstcc.OpenOptions{}, types("right"))
			r.must(err)
			if res.Sign == res.Enc {
				t.Error("one pair signs and decrypts: want two")
			}
			r.must(m.Close()) // its Confirm is through
			r.must(r.Close())
			places := map[string][]byte{"what was sent": x.sent}
			for _, rec := range r.b.snapshot().m {
				places["SS-CC's database"] = append(append(places["SS-CC's database"], rec.Hot...), rec.Blob...)
			}
			r.must(filepath.WalkDir(filepath.Dir(dir), func(path string, e fs.DirEntry, err error) error {
				if err != nil || e.IsDir() {
					return err
				}
				b, err := os.ReadFile(path)
				places["the terminal's disk"] = append(places["the terminal's disk"], b...)
				return err
			}))
			for name, pub := range map[string]sm.PublicKey{"d_M": res.Sign, "the decryption key": res.Enc} {
				key := d.key(t, pub)
				for place, b := range places {
					if len(b) < 200 {
						t.Errorf("only %d bytes of %s were looked at", len(b), place)
					}
					for i := 0; i+16 <= len(key); i++ {
						if bytes.Contains(b, key[i:i+16]) {
							t.Errorf("%s holds 16 bytes of %s", place, name)
						}
					}
				}
			}
			if !bytes.Contains(append(places["SS-CC's database"], d.key(t, res.Sign)...), d.key(t, res.Sign)[:16]) {
				t.Error("control: a planted key is not found")
			}
		})
	}
}
