package pin_test

import (
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/ppd/pin"
)

// script answers prompts in order and keeps what was asked.
type script struct {
	answers []string
	asked   []core.Prompt
}

func (s *script) Ask(_ context.Context, q core.Prompt) (core.Sample, error) {
	s.asked = append(s.asked, q)
	if len(s.asked) > len(s.answers) {
		return core.Sample{}, core.Errorf(core.Canceled, "script", "out of answers")
	}
	return core.NewSample(core.SamplePIN, []byte(s.answers[len(s.asked)-1])), nil
}

// req: K-15.4-02a, G-7.4-07
func TestWeakPINsAreRefused(t *testing.T) {
	for _, c := range []struct{ pin, want string }{
		{"123456", "in order"}, {"987654", "in order"}, {"678901", "in order"}, {"3210987", "in order"},
		{"444444", "the same"}, {"444434", "the same"},
		{"121212", "block"}, {"123123", "block"}, {"4774774", "block"},
		{"311299", "date"}, {"123199", "date"}, {"991231", "date"}, {"290200", "date"}, {"202611", "date"}, {"31121999", "date"}, {"19991231", "date"},
		{"147963", "lines"}, {"258369", "lines"}, {"159753", "lines"}, {"2580147", "lines"},
		{"1236987", "walk"}, {"1254589", "walk"},
		{"137931", "corners"},
	} {
		s := &script{answers: []string{c.pin}}
		_, err := pin.New().Enroll(context.Background(), core.EnrollRequest{Label: "pin"}, s)
		if !errors.Is(err, core.Canceled) || len(s.asked) != 2 {
			t.Fatalf("%s: err = %v after %d prompts, want a second prompt", c.pin, err, len(s.asked))
		}
		if why := s.asked[1].Refusal; !strings.Contains(why, c.want) || strings.Contains(why, c.pin) {
			t.Errorf("%s: refusal %q, want it to say %q and not the PIN", c.pin, why, c.want)
		}
	}
	for _, c := range []string{"abc123", "a1b2c3", "qwe789", "aaaaa1", "a1a1a1", "XyZ321"} {
		s := &script{answers: []string{c}}
		_, _ = pin.New().Enroll(context.Background(), core.EnrollRequest{Params: map[string]string{"alphanumeric": "true"}}, s)
		if len(s.asked) != 2 || !strings.Contains(s.asked[1].Refusal, "easy to guess") {
			t.Errorf("%s: accepted", c)
		}
	}
}

// req: G-7.10-06
func TestTypedTwice(t *testing.T) {
	s := &script{answers: []string{"739105", "739106", "12", "73910x", "739105", "739105"}}
	e, err := pin.New().Enroll(context.Background(), core.EnrollRequest{Label: "pin:work"}, s)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Secret.Wipe()
	if string(e.Secret.Bytes()) != "739105" {
		t.Error("another secret than was typed")
	}
	wantPurpose := []core.Purpose{1, 2, 1, 1, 1, 2}
	wantRefusal := []string{"", "", "differ", "6 to 16", "digits", ""}
	for i, q := range s.asked {
		if q.Purpose != wantPurpose[i] || !strings.Contains(q.Refusal, wantRefusal[i]) || wantRefusal[i] == "" && q.Refusal != "" || q.Label != "pin:work" {
			t.Errorf("prompt %d: %+v", i, q)
		}
	}
}

// Format 1 is frozen: the secret and the helper of a PIN are these bytes for ever.
func TestGolden(t *testing.T) {
	for _, c := range []struct {
		pin, secret, helper string
		params              map[string]string
	}{
		{"739105", "373339313035", "01010610", nil},
		{"kX7q2p", "6b5837713270", "01020610", map[string]string{"alphanumeric": "true"}},
		{"8402", "38343032", "01010420", map[string]string{"min": "4", "max": "32"}},
	} {
		e, err := pin.New().Enroll(context.Background(), core.EnrollRequest{Params: c.params, Format: 1}, &script{answers: []string{c.pin, c.pin}})
		if err != nil {
			t.Fatal(err)
		}
		if hex.EncodeToString(e.Secret.Bytes()) != c.secret || hex.EncodeToString(e.Helper) != c.helper {
			t.Errorf("secret %x, helper %x; want %s, %s", e.Secret.Bytes(), e.Helper, c.secret, c.helper)
		}
	}
}

// The level-2 boundary: one random try succeeds with less than 1/1,000,000.
// req: G-7.4-04, G-7.4-06
func TestLevel2Boundary(t *testing.T) {
	const million = 19932 // 1000·log2(10^6), rounded up
	for _, c := range []struct {
		pin    string
		params map[string]string
		passes bool
	}{
		{"739105", nil, false},
		{"7391052", nil, true},
		{"kX7q2p", map[string]string{"alphanumeric": "true"}, true},
	} {
		e, err := pin.New().Enroll(context.Background(), core.EnrollRequest{Params: c.params}, &script{answers: []string{c.pin, c.pin}})
		if err != nil {
			t.Fatal(err)
		}
		if (e.Strength.PerTry >= million) != c.passes {
			t.Errorf("%d characters: %d millibits", len(c.pin), e.Strength.PerTry)
		}
	}
}

func TestConfigure(t *testing.T) {
	for _, v := range []map[string]string{{"min": "3"}, {"max": "33"}, {"min": "9", "max": "8"}, {"colour": "red"}, {"alphanumeric": "maybe"}, {"min": "six"}} {
		s := pin.New()
		if err := s.Configure(context.Background(), core.Config{Values: v}); !errors.Is(err, core.Invalid) {
			t.Errorf("%v: %v", v, err)
		}
		if i, _ := s.Describe(context.Background()); i.Params[2].Default != "6" {
			t.Errorf("%v changed the source", v)
		}
	}
}

func FuzzParseRules(f *testing.F) {
	f.Add([]byte{1, 1, 6, 16})
	f.Add([]byte{1, 2, 4, 32})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := pin.ParseRules(b)
		if err == nil && string(r.Marshal()) != string(b) {
			t.Errorf("%x parses and marshals to %x", b, r.Marshal())
		}
	})
}
