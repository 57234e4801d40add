package policy

import (
	"fmt"
	"sort"

	"github.com/keposs/keposs/core"
)

// A SyntaxError says where a policy text stops making sense. It is the cause
// of the *core.Error (code Policy) that Parse returns.
type SyntaxError struct {
	Pos int // 1-based byte position in the text
	Msg string
}

// Error names the position.
func (e *SyntaxError) Error() string { return fmt.Sprintf("position %d: %s", e.Pos, e.Msg) }

// Parse reads a policy text. Errors are *core.Error with code Policy; a
// syntax error has a *SyntaxError with the position as its cause.
//
//	policy = term { "|" term }
//	term   = item { "&" item }
//	item   = label | "(" policy ")" | "all" list | "any" list | number "of" list
//	list   = "(" policy { "," policy } ")"
func Parse(text string) (*Tree, error) {
	const op = "policy: parse"
	if len(text) > MaxText {
		return nil, core.Errorf(core.Policy, op, "text of %d bytes, at most %d", len(text), MaxText)
	}
	p := &parser{in: text}
	raw, err := p.policy(0)
	if err == nil && p.peek() != 0 {
		err = p.fail("%s does not belong here; join factors with & or |", p.seen())
	}
	if err != nil {
		return nil, core.Errorf(core.Policy, op, "%w", err)
	}
	return build(raw, op)
}

type parser struct {
	in    string
	pos   int
	nodes int
}

func (p *parser) fail(format string, args ...any) error {
	return &SyntaxError{Pos: p.pos + 1, Msg: fmt.Sprintf(format, args...)}
}

// peek skips spaces and returns the next byte, 0 at the end.
func (p *parser) peek() byte {
	for p.pos < len(p.in) {
		switch c := p.in[p.pos]; c {
		case ' ', '\t', '\n', '\r':
			p.pos++
		case 0:
			return '?' // a NUL is a bad character, not the end
		default:
			return c
		}
	}
	return 0
}

// seen describes what stands at the position.
func (p *parser) seen() string {
	if p.peek() == 0 {
		return "the end of the text"
	}
	if w := p.word(); w != "" {
		return fmt.Sprintf("%q", w)
	}
	return fmt.Sprintf("%q", p.in[p.pos:p.pos+1])
}

func labelByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == ':' || c == '_' || c == '-'
}

// word returns the name at the position without consuming it.
func (p *parser) word() string {
	p.peek()
	end := p.pos
	for end < len(p.in) && labelByte(p.in[end]) {
		end++
	}
	return p.in[p.pos:end]
}

func (p *parser) add(n *node) (*node, error) {
	if p.nodes++; p.nodes > maxNodes {
		return nil, p.fail("more than %d parts", maxNodes)
	}
	if len(n.kids) > maxKids {
		return nil, p.fail("more than %d alternatives in one place", maxKids)
	}
	return n, nil
}

func (p *parser) policy(level int) (*node, error) {
	return p.chain(level, '|', func() (*node, error) {
		return p.chain(level, '&', func() (*node, error) { return p.item(level) })
	})
}

// chain reads parts joined by sep: an any gate for |, an all gate for &.
func (p *parser) chain(level int, sep byte, part func() (*node, error)) (*node, error) {
	first, err := part()
	if err != nil || p.peek() != sep {
		return first, err
	}
	kids := []*node{first}
	for p.peek() == sep {
		p.pos++
		n, err := part()
		if err != nil {
			return nil, err
		}
		kids = append(kids, n)
	}
	k := 1
	if sep == '&' {
		k = len(kids)
	}
	return p.add(&node{k: k, kids: kids})
}

func (p *parser) item(level int) (*node, error) {
	if level > maxNesting {
		return nil, p.fail("parentheses nested more than %d deep", maxNesting)
	}
	if p.peek() == '(' {
		p.pos++
		n, err := p.policy(level + 1)
		if err != nil {
			return nil, err
		}
		return n, p.close()
	}
	w, start := p.word(), p.pos
	if w == "" {
		return nil, p.fail("want a factor or (, found %s", p.seen())
	}
	p.pos += len(w)
	number := true
	for i := range len(w) {
		number = number && w[i] >= '0' && w[i] <= '9'
	}
	switch {
	case number:
		return p.threshold(level, w, start)
	case w == "all", w == "any":
		kids, err := p.list(level, w)
		if err != nil {
			return nil, err
		}
		k := 1
		if w == "all" {
			k = len(kids)
		}
		return p.add(&node{k: k, kids: kids})
	case !ValidLabel(w):
		p.pos = start
		return nil, p.fail("%q is not a factor label: want up to %d of a-z 0-9 : _ -", w, MaxLabel)
	}
	return p.add(&node{label: w})
}

// threshold reads "of list" after the number w.
func (p *parser) threshold(level int, w string, start int) (*node, error) {
	if p.word() != "of" {
		return nil, p.fail("want \"of\" after %s, found %s", w, p.seen())
	}
	p.pos += len("of")
	kids, err := p.list(level, "of")
	if err != nil {
		return nil, err
	}
	k := 0
	for i := 0; i < len(w) && k <= maxKids; i++ {
		k = 10*k + int(w[i]-'0')
	}
	if k < 1 || k > len(kids) || w[0] == '0' {
		p.pos = start
		return nil, p.fail("%s of %d: want a number from 1 to %d", w, len(kids), len(kids))
	}
	if len(kids) > 1 {
		// A repeat would count one factor twice: in "2 of (pin, pin, face)" a
		// PIN alone would do. all and any have no such trap.
		for i := range kids {
			for j := range i {
				if same(kids[i], kids[j]) {
					p.pos = start
					return nil, p.fail("item %d of the list repeats item %d", i+1, j+1)
				}
			}
		}
	}
	return p.add(&node{k: k, kids: kids})
}

// same compares two trees by meaning of their normal forms.
func same(a, b *node) bool {
	labels := map[string]bool{}
	collect(a, labels)
	collect(b, labels)
	if len(labels) > MaxFactors {
		return false // build refuses it anyway
	}
	t := &Tree{}
	for l := range labels {
		t.labels = append(t.labels, l)
	}
	sort.Strings(t.labels) // the encoding looks labels up by bisection
	return string(t.encode(nil, t.normal(a))) == string(t.encode(nil, t.normal(b)))
}

func (p *parser) list(level int, word string) ([]*node, error) {
	if p.peek() != '(' {
		return nil, p.fail("want ( after %q, found %s", word, p.seen())
	}
	var kids []*node
	for {
		p.pos++ // ( or ,
		n, err := p.policy(level + 1)
		if err != nil {
			return nil, err
		}
		kids = append(kids, n)
		if len(kids) > maxKids {
			return nil, p.fail("more than %d alternatives in one place", maxKids)
		}
		if p.peek() != ',' {
			return kids, p.close()
		}
	}
}

func (p *parser) close() error {
	if p.peek() != ')' {
		return p.fail("want ), found %s", p.seen())
	}
	p.pos++
	return nil
}
