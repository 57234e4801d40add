// Package policy reads and writes the factor tree of a keposs policy: which
// combinations of a person's factors open the key.
//
// A tree is written as text, for people:
//
//	pin & (fingerprint | face)
//	2 of (pin, gesture, face)
//	all(pin:work, any(face, fingerprint))
//
// "&" binds tighter than "|". A name is a factor label, [a-z0-9:_-]{1,32}; what
// stands before its first colon is the source ("pin:work" is the source pin,
// used a second time). A label may appear more than once. The words all, any
// and of, and names made of digits only, are not labels.
//
// Every tree compiles to its minimal authorised sets: at most [MaxSets] sets
// over [MaxFactors] factors, gates nested at most [MaxDepth] deep. Trees have
// one normal form, so one text and one binary encoding each; the encoding is
// hashed into every key derived under the policy (package mf).
//
// The package also says what a tree is worth: see [Explain].
package policy

import (
	"bytes"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/keposs/keposs/core"
)

// Bounds of a tree. Larger ones are refused before they are expanded.
const (
	MaxText    = 4096 // bytes of the text form
	MaxFactors = 16
	MaxSets    = 32 // minimal authorised sets
	MaxDepth   = 8  // gates on any path
	MaxLabel   = 32
	maxKids    = 64  // children of one gate
	maxNodes   = 512 // nodes before normalisation
	maxNesting = 32  // parentheses the parser follows
)

// A Tree is a factor tree in normal form. It is immutable and safe for
// concurrent use. The zero value is not usable; see [Parse], [FromSets], [Decode].
type Tree struct {
	root   *node
	labels []string // sorted, unique; every one is in some minimal set
	masks  []uint16 // minimal sets as bit masks over labels, in canonical order
	code   []byte
}

// A node is a leaf (k = 0) or a gate that wants k of its kids. all is k = n,
// any is k = 1.
type node struct {
	label string
	k     int
	kids  []*node
}

func (n *node) leaf() bool { return n.k == 0 }
func (n *node) all() bool  { return n.k > 0 && n.k == len(n.kids) }
func (n *node) any() bool  { return n.k == 1 }

// ValidLabel reports whether s may name a factor or an anchor holder.
func ValidLabel(s string) bool {
	if s == "" || len(s) > MaxLabel || s == "all" || s == "any" || s == "of" {
		return false
	}
	digits := true
	for i := range len(s) {
		c := s[i]
		if c < '0' || c > '9' {
			digits = false
			if (c < 'a' || c > 'z') && c != ':' && c != '_' && c != '-' {
				return false
			}
		}
	}
	return !digits
}

// SourceOf returns the source a label names: what stands before its first
// colon, or all of it.
func SourceOf(label string) string {
	s, _, _ := strings.Cut(label, ":")
	return s
}

// FromSets returns the tree "any of these sets". Sets that contain another are
// dropped. It is the inverse of MinimalSets up to the tree's shape.
func FromSets(sets [][]string) (*Tree, error) {
	const op = "policy: from sets"
	if len(sets) == 0 || len(sets) > maxKids {
		return nil, core.Errorf(core.Policy, op, "%d sets, want 1 to %d", len(sets), maxKids)
	}
	any := &node{k: 1}
	for _, s := range sets {
		if len(s) == 0 || len(s) > MaxFactors {
			return nil, core.Errorf(core.Policy, op, "a set of %d factors, want 1 to %d", len(s), MaxFactors)
		}
		all := &node{k: len(s)}
		for _, l := range s {
			if !ValidLabel(l) {
				return nil, core.Errorf(core.Policy, op, "%q is not a factor label", l)
			}
			all.kids = append(all.kids, &node{label: l})
		}
		if !contains(sets, s) {
			any.kids = append(any.kids, all)
		}
	}
	return build(any, op)
}

// Without returns the tree with one factor taken out of its gates: an all or an
// any goes on without it, of k of n at most n−1 are asked. Code Usage when the
// tree has no such factor or nothing else.
func (t *Tree) Without(label string) (*Tree, error) {
	const op = "policy: without"
	if !slices.Contains(t.labels, label) {
		return nil, core.Errorf(core.Usage, op, "the policy %s has no factor %s", t, label)
	}
	rest := without(t.root, label)
	if rest == nil {
		return nil, core.Errorf(core.Usage, op, "%s is the only factor", label)
	}
	return build(rest, op)
}

// without returns nil when nothing of n is left.
func without(n *node, label string) *node {
	if n.leaf() {
		if n.label == label {
			return nil
		}
		return n
	}
	out := &node{k: n.k}
	for _, c := range n.kids {
		if c = without(c, label); c != nil {
			out.kids = append(out.kids, c)
		}
	}
	switch {
	case len(out.kids) == 0:
		return nil
	case len(out.kids) == 1:
		return out.kids[0]
	case n.all():
		out.k = len(out.kids)
	default:
		out.k = min(n.k, len(out.kids))
	}
	return out
}

// contains reports whether sets holds a proper subset of s.
func contains(sets [][]string, s []string) bool {
	for _, o := range sets {
		if !subset(s, o) && subset(o, s) {
			return true
		}
	}
	return false
}

func subset(a, b []string) bool {
	for _, x := range a {
		if !slices.Contains(b, x) {
			return false
		}
	}
	return true
}

// build normalises raw, checks every bound and compiles the sets.
func build(raw *node, op string) (*Tree, error) {
	labels := map[string]bool{}
	collect(raw, labels)
	if len(labels) > MaxFactors {
		return nil, core.Errorf(core.Policy, op, "%d factors, at most %d", len(labels), MaxFactors)
	}
	t := &Tree{}
	for l := range labels {
		t.labels = append(t.labels, l)
	}
	sort.Strings(t.labels)
	t.root = t.normal(raw)
	if d := depth(t.root); d > MaxDepth {
		return nil, core.Errorf(core.Policy, op, "%d levels of gates, at most %d", d, MaxDepth)
	}
	t.code = t.encode(nil, t.root)
	if err := t.compile(op); err != nil {
		return nil, err
	}
	return t, nil
}

func collect(n *node, into map[string]bool) {
	if n.leaf() {
		into[n.label] = true
	}
	for _, c := range n.kids {
		collect(c, into)
	}
}

func depth(n *node) int {
	d := 0
	for _, c := range n.kids {
		d = max(d, depth(c))
	}
	if n.leaf() {
		return 0
	}
	return d + 1
}

// normal returns the normal form: all inside all and any inside any are
// flattened, kids are sorted by their encoding, repeats in all and any vanish
// (x & x is x), and a gate of one kid is that kid.
func (t *Tree) normal(n *node) *node {
	if n.leaf() {
		return n
	}
	if len(n.kids) == 1 { // an all and an any at once: it is its kid
		return t.normal(n.kids[0])
	}
	kids := make([]*node, 0, len(n.kids))
	isAll, isAny := n.all(), n.any()
	for _, c := range n.kids {
		c = t.normal(c)
		if !c.leaf() && (isAll && c.all() || isAny && c.any()) {
			kids = append(kids, c.kids...)
		} else {
			kids = append(kids, c)
		}
	}
	codes := make(map[*node][]byte, len(kids))
	for _, c := range kids {
		codes[c] = t.encode(nil, c)
	}
	sort.SliceStable(kids, func(i, j int) bool { return bytes.Compare(codes[kids[i]], codes[kids[j]]) < 0 })
	if isAll || isAny {
		kids = slices.CompactFunc(kids, func(a, b *node) bool { return bytes.Equal(codes[a], codes[b]) })
	}
	if len(kids) == 1 {
		return kids[0]
	}
	k := n.k
	if isAll {
		k = len(kids)
	}
	return &node{k: k, kids: kids}
}

// String returns the canonical text; Parse(t.String()) equals t.
func (t *Tree) String() string {
	var b strings.Builder
	write(&b, t.root, true)
	return b.String()
}

func write(b *strings.Builder, n *node, top bool) {
	if n.leaf() {
		b.WriteString(n.label)
		return
	}
	sep, closing := ", ", ")"
	switch {
	case n.all() || n.any():
		sep = " & "
		if n.any() {
			sep = " | "
		}
		if top {
			closing = ""
		} else {
			b.WriteByte('(')
		}
	default:
		b.WriteString(strconv.Itoa(n.k))
		b.WriteString(" of (")
	}
	for i, c := range n.kids {
		if i > 0 {
			b.WriteString(sep)
		}
		write(b, c, sep == ", ")
	}
	b.WriteString(closing)
}

// Labels returns the factor labels in bytewise order.
func (t *Tree) Labels() []string { return slices.Clone(t.labels) }

// Equal reports whether both have the same normal form.
func (t *Tree) Equal(o *Tree) bool {
	return slices.Equal(t.labels, o.labels) && bytes.Equal(t.code, o.code)
}
