package mstcc_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mf"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/sm"
)

// image is what runs from an approved image on a terminal.
type image struct{ source, kdf, program bool }

// calm is cheap as an approved function: what is approved here is the image.
type calm struct{ cheap }

func (calm) Describe(ctx context.Context) (core.KDFInfo, error) {
	info, err := cheap{}.Describe(ctx)
	info.Approved = true
	return info, err
}

func (x *terminal) openAs(i image) (*mstcc.Module, error) {
	cfg := x.config()
	source := cfg.Source
	cfg.Source = func(ctx context.Context, name string) (core.Source, bool, error) {
		s, _, err := source(ctx, name)
		return s, i.source, err
	}
	cfg.KDF = func(context.Context, string) (core.KDF, bool, error) { return calm{}, i.kdf, nil }
	cfg.Approved = i.program
	return mstcc.Open(ctx, cfg)
}

// Each result says whether approved functions and images only took part; keys
// made so are opened by nothing else, and other keys never give an approved
// result, whatever opens them.
// req: G-7.2-02, G-7.2-03, K-8.3-01, X-23
func TestApprovedKeySpace(t *testing.T) {
	all := image{true, true, true}
	for _, made := range []image{all, {false, true, true}, {true, false, true}, {}} {
		x := newTerminal(t)
		m, err := x.openAs(made)
		if err != nil {
			t.Fatal(err)
		}
		res, err := m.Initialize(ctx, request(t, "pin"), types("right"))
		if err != nil {
			t.Fatal(err)
		}
		space := made == all
		if res.Approved != space {
			t.Errorf("made by %+v: approved %v", made, res.Approved)
		}
		for _, runs := range []image{all, {false, true, true}, {true, false, true}, {}} {
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
			if m, err = x.openAs(runs); err != nil {
				t.Fatal(err)
			}
			asked := 0
			person := core.PrompterFunc(func(ctx context.Context, p core.Prompt) (core.Sample, error) {
				asked++
				return types("right").Ask(ctx, p)
			})
			before := x.srv.asked("fetch")
			_, signed, signErr := m.Sign(ctx, []byte("m"), nil, mstcc.OpenOptions{}, person)
			if space && runs != all {
				if !errors.Is(signErr, core.Policy) || asked != 0 || x.srv.asked("fetch") != before {
					t.Errorf("approved keys by %+v: %v, %d prompts", runs, signErr, asked)
				}
				continue
			}
			if signErr != nil || signed.Approved != space {
				t.Errorf("made by %+v, signed by %+v: approved %v, %v", made, runs, signed.Approved, signErr)
			}
			_, checked, err := m.Verify(ctx, res.Sign, []byte("m"), nil, [64]byte{1}, mstcc.OpenOptions{}, person)
			if err != nil || checked.Approved != space {
				t.Errorf("verified: approved %v, %v", checked.Approved, err)
			}
			ct, err := sm.Encrypt(sm.Rand(), res.Enc, []byte("text"))
			if err != nil {
				t.Fatal(err)
			}
			plain, opened, err := m.Decrypt(ctx, ct, mstcc.OpenOptions{}, person)
			if err != nil || opened.Approved != space {
				t.Errorf("decrypted: approved %v, %v", opened.Approved, err)
			}
			plain.Wipe()
			sealed, err := m.Encrypt(func(io.Reader) error { return nil })
			if err != nil || sealed.Approved != runs.program {
				t.Errorf("encrypted by %+v: approved %v, %v", runs, sealed.Approved, err)
			}
		}
		_ = m.Close()
	}
}

// A recovery keeps the key space: keys of the approved one are recovered by
// approved functions and images only and stay approved; others never become so.
// req: G-7.2-03, X-23, K-17.1-D1
func TestRecoveryKeepsKeySpace(t *testing.T) {
	all := image{true, true, true}
	for _, made := range []image{all, {}} {
		for _, runs := range []image{all, {false, true, true}, {true, false, true}} {
			x := newTerminal(t)
			m, err := x.openAs(made)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := m.Initialize(ctx, request(t, "pin"), types("right")); err != nil {
				t.Fatal(err)
			}
			var sheet *mf.Sheet
			if _, err := m.AddRecovery(ctx, newSheet(t, &sheet), mstcc.OpenOptions{}, types("right")); err != nil {
				t.Fatal(err)
			}
			_ = m.Close()
			y := x.second()
			r, err := y.openAs(runs)
			if err != nil {
				t.Fatal(err)
			}
			asked := 0
			person := core.PrompterFunc(func(ctx context.Context, p core.Prompt) (core.Sample, error) {
				asked++
				return types("right").Ask(ctx, p)
			})
			res, err := r.Recover(ctx, mstcc.RecoverRequest{Sheet: sheet}, mstcc.OpenOptions{}, person)
			if made == all && runs != all {
				if !errors.Is(err, core.Policy) || asked != 0 {
					t.Errorf("approved keys recovered by %+v: %v, %d prompts", runs, err, asked)
				}
				_ = r.Close()
				continue
			}
			if err != nil {
				t.Fatalf("made by %+v, recovered by %+v: %v", made, runs, err)
			}
			want := made == all
			_, signed, err := r.Sign(ctx, []byte("m"), nil, mstcc.OpenOptions{}, person)
			if err != nil || res.Approved != want || signed.Approved != want {
				t.Errorf("made by %+v, recovered by %+v: approved %v, then %v, %v", made, runs, res.Approved, signed.Approved, err)
			}
			_ = r.Close()
			if r, err = y.openAs(image{}); err != nil { // the space is sealed there too
				t.Fatal(err)
			}
			if _, _, err := r.Sign(ctx, []byte("m"), nil, mstcc.OpenOptions{}, person); want != errors.Is(err, core.Policy) {
				t.Errorf("approved %v, opened by what is not: %v", want, err)
			}
			_ = r.Close()
		}
	}
}

// newSheet asks for a sheet and keeps a copy of it.
func newSheet(t *testing.T, into **mf.Sheet) mstcc.NewSheet {
	t.Helper()
	code, err := mf.NewRecoveryCode(sm.Rand())
	if err != nil {
		t.Fatal(err)
	}
	return mstcc.NewSheet{Code: code, Endpoint: "host:1", Show: func(_ context.Context, s *mf.Sheet) (err error) {
		*into, err = mf.ParseSheet(s.Payload().Bytes())
		return err
	}}
}
