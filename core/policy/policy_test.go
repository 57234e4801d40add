package policy_test

import (
	"errors"
	"math/bits"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/policy"
)

func TestParseCanonical(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"pin", "pin"},
		{" ( ( pin ) ) ", "pin"},
		{"pin & (fingerprint | face)", "pin & (face | fingerprint)"},
		{"face|pin&gesture", "face | (gesture & pin)"},
		{"2 of (pin, gesture, face)", "2 of (face, gesture, pin)"},
		{"1 of (pin, face)", "face | pin"},
		{"3 of (pin, gesture, face)", "face & gesture & pin"},
		{"all(pin:work, any(face, fingerprint))", "pin:work & (face | fingerprint)"},
		{"all(pin, all(face, gesture))", "face & gesture & pin"},
		{"pin & pin", "pin"},
		{"any(face & pin, pin & face)", "face & pin"},
		{"2 of (pin & face, gesture, fingerprint | iris)", "2 of (gesture, fingerprint | iris, face & pin)"},
		{"all(pin)\n&\tany(face)", "face & pin"},
		{"any(a | b)", "a | b"},
		{"all(a | b)", "a | b"},
		{"any(a & b)", "a & b"},
		{"1 of (a & b | a & c)", "(a & b) | (a & c)"},
		{"all(any(a & b, c))", "c | (a & b)"},
		{"2 of (a & c, x1 & a, 0b)", "2 of (0b, a & c, a & x1)"},
	} {
		tree, err := policy.Parse(c.in)
		if err != nil {
			t.Errorf("%q: %v", c.in, err)
			continue
		}
		if got := tree.String(); got != c.want {
			t.Errorf("%q prints %q, want %q", c.in, got, c.want)
		}
		again, err := policy.Parse(tree.String())
		if err != nil || !again.Equal(tree) {
			t.Errorf("%q: canonical text does not parse back: %v", c.in, err)
		}
	}
}

// Items of a threshold that share a factor are not repeats of each other, in
// whatever order maps give their labels.
func TestSharedFactorIsNoRepeat(t *testing.T) {
	for range 200 {
		if _, err := policy.Parse("2 of (a & c, x1 & a, 0b)"); err != nil {
			t.Fatal(err)
		}
		if _, err := policy.Parse("2 of (a & c, c & a, 0b)"); err == nil {
			t.Fatal("a repeat was taken")
		}
	}
}

func TestParseErrorsHavePositions(t *testing.T) {
	for _, c := range []struct {
		in  string
		pos int
		say string
	}{
		{"", 1, "want a factor"},
		{"pin &", 6, "the end of the text"},
		{"pin face", 5, `"face"`},
		{"pin & (face", 12, "want )"},
		{"2 of pin", 6, "want ("},
		{"2 (pin, face)", 3, `want "of"`},
		{"4 of (pin, face)", 1, "from 1 to 2"},
		{"0 of (pin, face)", 1, "from 1 to 2"},
		{"02 of (pin, face)", 1, "from 1 to 2"},
		{"99999999999999999999 of (pin, face)", 1, "from 1 to 2"},
		{"2 of (pin, pin, face)", 1, "repeats item 1"},
		{"2 of (a & b, b & a, c)", 1, "repeats item 1"},
		{"PIN", 1, `"P"`},
		{"of", 1, "not a factor label"},
		{"pin & " + strings.Repeat("x", 33), 7, "not a factor label"},
		{"pin,face", 4, `","`},
		{"pin \x00", 5, "does not belong"},
		{strings.Repeat("(", 40) + "pin" + strings.Repeat(")", 40), 34, "nested"},
	} {
		_, err := policy.Parse(c.in)
		var se *policy.SyntaxError
		if !errors.As(err, &se) || !errors.Is(err, core.Policy) {
			t.Errorf("%q: error %v is no syntax error with code policy", c.in, err)
			continue
		}
		if se.Pos != c.pos || !strings.Contains(se.Msg, c.say) {
			t.Errorf("%q: position %d %q, want %d %q", c.in, se.Pos, se.Msg, c.pos, c.say)
		}
	}
}

func TestMinimalSets(t *testing.T) {
	for _, c := range []struct {
		in   string
		want string
	}{
		{"pin & (fingerprint | face)", "[[face pin] [fingerprint pin]]"},
		{"2 of (pin, gesture, face)", "[[face gesture] [face pin] [gesture pin]]"},
		{"pin | (face & gesture)", "[[face gesture] [pin]]"},
		{"2 of (pin | face, gesture, pin & iris)", "[[face gesture] [gesture pin] [iris pin]]"},
	} {
		tree, err := policy.Parse(c.in)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for i, s := range tree.MinimalSets() {
			if i > 0 {
				b.WriteByte(' ')
			}
			b.WriteString("[" + strings.Join(s, " ") + "]")
		}
		if got := "[" + b.String() + "]"; got != c.want {
			t.Errorf("%s: %s, want %s", c.in, got, c.want)
		}
	}
	if _, err := policy.Parse("pin | (pin & face)"); !errors.Is(err, core.Policy) || !strings.Contains(err.Error(), "face is never needed") {
		t.Errorf("a useless factor: %v", err)
	}
}

func TestChoose(t *testing.T) {
	tree, err := policy.Parse("(pin & gesture & face) | (pin & fingerprint)")
	if err != nil {
		t.Fatal(err)
	}
	set, i, ok := tree.Choose([]string{"pin", "gesture", "face", "fingerprint"})
	if !ok || i != 1 || !slices.Equal(set, []string{"fingerprint", "pin"}) {
		t.Errorf("chose %v (%d), want the two-factor set", set, i)
	}
	if _, _, ok := tree.Choose([]string{"gesture", "fingerprint"}); ok || tree.Authorised(nil) {
		t.Error("an unauthorised subset was chosen")
	}
}

func TestWithout(t *testing.T) {
	for _, c := range []struct{ text, label, want string }{
		{"pin & (face | fingerprint)", "face", "fingerprint & pin"},
		{"2 of (pin, gesture, face)", "face", "gesture & pin"},
		{"2 of (pin, gesture, face, token)", "face", "2 of (gesture, pin, token)"},
		{"pin & gesture", "gesture", "pin"},
		{"(pin & face) | (gesture & face)", "face", "gesture | pin"},
	} {
		tree, err := policy.Parse(c.text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := tree.Without(c.label)
		if err != nil || got.String() != c.want {
			t.Errorf("%s without %s: %s, %v; want %s", c.text, c.label, got, err, c.want)
		}
	}
	one, _ := policy.Parse("pin")
	for _, l := range []string{"pin", "face"} {
		if _, err := one.Without(l); !errors.Is(err, core.Usage) {
			t.Errorf("pin without %s: %v, want usage", l, err)
		}
	}
}

// Attack 27: bombs are refused quickly, whatever their shape.
func TestAttack27Bombs(t *testing.T) {
	pairs := func(n int) string { // n pairs of alternatives: 2^n sets
		var p []string
		for i := range n {
			p = append(p, "(a"+string(rune('a'+i))+" | b"+string(rune('a'+i))+")")
		}
		return strings.Join(p, " & ")
	}
	deep := "x"
	for i := range 10 {
		l := string(rune('a' + i))
		if i%2 == 0 {
			deep = l + " & (" + deep + ")"
		} else {
			deep = l + " | (" + deep + ")"
		}
	}
	var many []string
	for i := range 17 {
		many = append(many, "f"+string(rune('a'+i)))
	}
	for name, in := range map[string]string{
		"2^6 sets":       pairs(6),
		"2^8 sets":       pairs(8),
		"8 of 16":        "8 of (" + strings.Join(many[:16], ",") + ")",
		"17 factors":     strings.Join(many, "&"),
		"10 levels":      deep,
		"long text":      strings.Repeat("a&", 3000) + "a",
		"512 parts":      strings.Repeat("a|", 1000) + "a",
		"nested 1 of":    strings.Repeat("1 of (", 500) + "a" + strings.Repeat(")", 500),
		"parenthesis":    strings.Repeat("(", 4000),
		"hidden by all":  "z | (z & (" + pairs(7) + "))",
		"threshold bomb": "8 of (" + strings.Repeat("(4 of (a,b,c,d,e,f,g,h)) & i | j, ", 60) + "k)",
	} {
		start := time.Now()
		if _, err := policy.Parse(in); !errors.Is(err, core.Policy) {
			t.Errorf("%s: %v, want code policy", name, err)
		}
		if d := time.Since(start); d > time.Second {
			t.Errorf("%s: took %v", name, d)
		}
	}
	if tree, err := policy.Parse(pairs(5)); err != nil || len(tree.MinimalSets()) != policy.MaxSets {
		t.Errorf("32 sets: %v; the bound itself must pass", err)
	}
	for name, b := range map[string][]byte{
		"deep": {0x81, 2, 0x82, 2, 0x81, 2, 0x82, 2, 0x81, 2, 0x82, 2, 0x81, 2, 0x82, 2, 0x81, 2, 0x82, 2, 0, 1},
		"wide": {0x81, 255, 0, 1}, "k>n": {0x83, 2, 0, 1}, "n=1": {0x81, 1, 0}, "k=0": {0x80, 2, 0, 1},
		"index": {7}, "trailing": {0, 0}, "unsorted": {0x81, 2, 1, 0}, "double": {0x81, 2, 0, 0},
		"double in k": {0x82, 3, 0, 0, 1}, "empty": {}, "flat": {0x82, 2, 0, 0x82, 2, 1, 2},
	} {
		if _, err := policy.Decode(b, []string{"a", "b"}); !errors.Is(err, core.Policy) {
			t.Errorf("decode %s: %v, want code policy", name, err)
		}
	}
}

// Attack 27, planted: a compiler that multiplies out, and looks for minimal sets
// and the cap only afterwards, would build this many products for the bombs
// above, of which the real one sees truth tables of 2^16 bits.
func TestAttack27MultiplyingOut(t *testing.T) {
	of := func(k int, kids ...float64) float64 { // the k-th elementary symmetric sum
		e := make([]float64, k+1)
		e[0] = 1
		for _, n := range kids {
			for j := k; j > 0; j-- {
				e[j] += e[j-1] * n
			}
		}
		return e[k]
	}
	some := func(n int, v float64) []float64 { return slices.Repeat([]float64{v}, n) }
	if n := of(8, some(16, 1)...); n != 12870 {
		t.Fatalf("8 of 16 gives %v products, want 12870", n)
	}
	if n := of(5, some(5, 2)...); n != policy.MaxSets {
		t.Fatalf("5 pairs give %v products, want the cap", n)
	}
	bomb := of(8, append(some(60, of(4, some(8, 1)...)+1), 1)...)
	if bomb < 1e20 {
		t.Errorf("the threshold bomb gives %v products: it would not stop a weak compiler", bomb)
	}
}

// monotone returns the truth tables of all monotone functions of n variables.
func monotone(n int) []uint32 {
	fs := []uint32{0, 1}
	for v := range n {
		var next []uint32
		for _, lo := range fs {
			for _, hi := range fs {
				if lo&^hi == 0 {
					next = append(next, lo|hi<<(1<<v))
				}
			}
		}
		fs = next
	}
	return fs
}

var five = []string{"face", "fingerprint", "gesture", "pin", "token"}

// Attack 25, the sets: the tree of every monotone function of five factors
// compiles to its minimal sets as brute force finds them, through text and
// encoding. Package mf opens them for real.
func TestAttack25SetsOfAllPolicies(t *testing.T) {
	fs := monotone(5)
	if len(fs) != 7581 {
		t.Fatalf("%d functions, want 7581", len(fs))
	}
	checked := 0
	for _, f := range fs {
		if f == 0 || f == 1<<32-1 {
			continue
		}
		checked++
		var want [][]string
		for x := range 32 {
			if f>>x&1 == 0 {
				continue
			}
			minimal := true
			for i := range 5 {
				if x>>i&1 == 1 && f>>(x&^(1<<i))&1 == 1 {
					minimal = false
				}
			}
			if minimal {
				var s []string
				for i := range 5 {
					if x>>i&1 == 1 {
						s = append(s, five[i])
					}
				}
				want = append(want, s)
			}
		}
		tree, err := policy.FromSets(want)
		if err != nil {
			t.Fatalf("%v: %v", want, err)
		}
		slices.SortFunc(want, slices.Compare[[]string])
		if got := tree.MinimalSets(); !slices.EqualFunc(got, want, slices.Equal[[]string]) {
			t.Fatalf("%s: sets %v, want %v", tree, got, want)
		}
		again, err := policy.Parse(tree.String())
		if err != nil || !again.Equal(tree) {
			t.Fatalf("%s does not parse back: %v", tree, err)
		}
		back, err := policy.Decode(tree.Encode(), tree.Labels())
		if err != nil || !back.Equal(tree) {
			t.Fatalf("%s does not decode: %v", tree, err)
		}
		for x := range 32 {
			var have []string
			for i := range 5 {
				if x>>i&1 == 1 {
					have = append(have, five[i])
				}
			}
			if tree.Authorised(have) != (f>>x&1 == 1) {
				t.Fatalf("%s: %v authorised = %v", tree, have, tree.Authorised(have))
			}
		}
	}
	if checked != 7579 {
		t.Errorf("%d policies, want 7579", checked)
	}
}

// FuzzParse: what parses prints canonically, parses back and encodes back; an
// error comes with no tree.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"pin & (fingerprint | face)", "2 of (pin, gesture, face)", "all(a,any(b,c))", "((", "3 of (a,b", "a&&b", "x|x&y",
		"2 of (a&b, c|d, e)", "1 of (a)", "\x00", "all()", "2 of (a, 2 of (b, c, d), e)"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		tree, err := policy.Parse(s)
		if err != nil {
			if tree != nil || !errors.Is(err, core.Policy) {
				t.Fatalf("%q: tree %v with error %v", s, tree, err)
			}
			return
		}
		again, err := policy.Parse(tree.String())
		if err != nil || !again.Equal(tree) || again.String() != tree.String() {
			t.Fatalf("%q → %q does not parse back: %v", s, tree, err)
		}
		back, err := policy.Decode(tree.Encode(), tree.Labels())
		if err != nil || !back.Equal(tree) {
			t.Fatalf("%q does not decode back: %v", s, err)
		}
		masks := tree.Masks()
		for i, a := range masks {
			for j, b := range masks {
				if i != j && a&^b == 0 {
					t.Fatalf("%q: set %d holds set %d", s, j, i)
				}
			}
			if bits.OnesCount16(a) == 0 {
				t.Fatalf("%q: empty set", s)
			}
		}
	})
}

// FuzzDecode: one encoding for one tree.
func FuzzDecode(f *testing.F) {
	labels := []string{"a", "b", "c", "d"}
	for _, s := range []string{"a & b & c & d", "2 of (a,b,c,d)", "(a|b)&(c|d)", "a&(b|c&d)"} {
		tree, err := policy.Parse(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(tree.Encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		tree, err := policy.Decode(b, labels)
		if err != nil {
			return
		}
		if string(tree.Encode()) != string(b) {
			t.Fatalf("%x decodes and encodes to %x", b, tree.Encode())
		}
	})
}
