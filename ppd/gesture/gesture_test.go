package gesture_test

import (
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/ppd/gesture"
)

func TestParseDots(t *testing.T) {
	for _, c := range []struct {
		grid int
		in   string
		want string // "" = refused
	}{
		{3, "1-2-5-8", "1-2-5-8"}, {3, "1258", "1-2-5-8"}, {3, "2-1-3-6", "2-1-3-6"},
		{4, "1-2-6-11-16-12-8", "1-2-6-11-16-12-8"}, {4, "1-6-11-16", "1-6-11-16"},
		{3, "1-3-2-5", ""}, {3, "1-9-5-2", ""}, {3, "1-2-1-5", ""}, {3, "0-1-2-5", ""}, {3, "1-2-5-10", ""},
		{4, "1-11-6-2", ""}, {4, "1-13-5-9", ""}, {4, "1256", ""}, {3, "01-2-5-8", ""}, {3, "1--2-5", ""}, {3, "-1-2", ""}, {3, "1-2-", ""}, {3, "", ""}, {3, "1 2 5 8", ""}, {3, "12-58", ""},
		{5, "1-2-3-4", ""}, {3, strings.Repeat("1-", 40) + "2", ""},
	} {
		p, err := gesture.ParseDots(c.grid, []byte(c.in))
		if got := string(p.Text()); got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%d %q: %q, %v", c.grid, c.in, got, err)
		}
		if err != nil && !errors.Is(err, core.Invalid) {
			t.Errorf("%q: %v", c.in, err)
		}
	}
}

func FuzzParseDots(f *testing.F) {
	f.Add(3, []byte("1-2-5-8"))
	f.Add(3, []byte("1258"))
	f.Add(4, []byte("1-2-6-11-16-12-8"))
	f.Fuzz(func(t *testing.T, grid int, text []byte) {
		p, err := gesture.ParseDots(grid, text)
		if err != nil {
			return
		}
		again, err := gesture.ParseDots(grid, p.Text())
		if err != nil || string(again) != string(p) {
			t.Errorf("%q: the canonical form %q reads as %v, %v", text, p.Text(), again, err)
		}
		for i, d := range p { // drawing it dot by dot gives the same
			if n := gesture.Next(grid, p[:i], d); len(n) != 1 || n[0] != d {
				t.Errorf("%q: drawing dot %d gives %v", text, i, n)
			}
		}
	})
}

func FuzzParseRules(f *testing.F) {
	f.Add([]byte{1, 3, 4})
	f.Add([]byte{1, 4, 6})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := gesture.ParseRules(b)
		if err == nil && string(r.Marshal()) != string(b) {
			t.Errorf("%x parses and marshals to %x", b, r.Marshal())
		}
	})
}

func TestNextTakesDotsAlong(t *testing.T) {
	if got := gesture.Next(3, gesture.Path{1}, 9); string(got) != string([]uint8{5, 9}) {
		t.Errorf("1 to 9: %v", got)
	}
	if got := gesture.Next(3, gesture.Path{5, 1}, 9); string(got) != string([]uint8{9}) {
		t.Errorf("1 to 9 over a used 5: %v", got)
	}
	if got := gesture.Next(3, gesture.Path{5, 1}, 5); got != nil {
		t.Errorf("a used dot: %v", got)
	}
}

type script struct {
	answers []string
	asked   []core.Prompt
}

func (s *script) Ask(_ context.Context, q core.Prompt) (core.Sample, error) {
	s.asked = append(s.asked, q)
	if len(s.asked) > len(s.answers) {
		return core.Sample{}, core.Errorf(core.Canceled, "script", "out of answers")
	}
	return core.NewSample(core.SamplePattern, []byte(s.answers[len(s.asked)-1])), nil
}

// req: G-7.10-06
func TestEnrolmentRefusals(t *testing.T) {
	s := &script{answers: []string{
		"1-2-5",               // too few
		"1-3-5-7",             // over an unused dot
		"1-2-3-5-7-8-9",       // Z
		"3-2-1-4-5-6-9-8-7",   // S
		"1-4-7-8-9",           // L
		"7-4-1-5-3-6-9",       // M
		"1-6-7-2-9-4", "1672", // two that differ
		"1-6-7-2-9-4", "167294",
	}}
	e, err := gesture.New().Enroll(context.Background(), core.EnrollRequest{}, s)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"", "4 dots", "pass over", "simple", "simple", "simple", "simple", "", "differ", ""} {
		if got := s.asked[i].Refusal; !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("prompt %d: refusal %q, want %q", i, got, want)
		}
	}
	// Format 1 is frozen: these bytes for ever.
	if got := hex.EncodeToString(e.Secret.Bytes()); got != "312d362d372d322d392d34" {
		t.Errorf("secret %s", got)
	}
	if got := hex.EncodeToString(e.Helper); got != "010304" {
		t.Errorf("helper %s", got)
	}
}

func TestGridBringsItsMinimum(t *testing.T) {
	s := gesture.New()
	if err := s.Configure(context.Background(), core.Config{Values: map[string]string{"grid": "4"}}); err != nil {
		t.Fatal(err)
	}
	if i, _ := s.Describe(context.Background()); i.Params[1].Default != "6" {
		t.Errorf("least dots %s", i.Params[1].Default)
	}
	for _, v := range []map[string]string{{"grid": "5"}, {"min": "3"}, {"min": "17"}, {"side": "3"}, {"grid": "x"}} {
		if err := s.Configure(context.Background(), core.Config{Values: v}); !errors.Is(err, core.Invalid) {
			t.Errorf("%v: %v", v, err)
		}
	}
}
