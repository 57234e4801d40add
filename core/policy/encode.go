package policy

import (
	"bytes"
	"sort"

	"github.com/keposs/keposs/core"
)

// The encoding, over the sorted labels: a leaf is one byte, the label's index;
// a gate is 0x80+k, the number n of its kids, and the kids in ascending order
// of their encodings. A factor list and a tree therefore cannot disagree about
// names, and there is one encoding for one tree.
const gateBase = 0x80

// Encode returns the canonical encoding over Labels(). Never more than a few
// hundred bytes.
func (t *Tree) Encode() []byte { return bytes.Clone(t.code) }

func (t *Tree) encode(out []byte, n *node) []byte {
	if n.leaf() {
		return append(out, byte(sort.SearchStrings(t.labels, n.label)))
	}
	out = append(out, byte(gateBase+n.k), byte(len(n.kids)))
	for _, c := range n.kids {
		out = t.encode(out, c)
	}
	return out
}

// Decode reads what Encode wrote, over sorted, unique, valid labels. Anything
// but the one canonical encoding that uses every label is refused with code
// Policy.
func Decode(b []byte, labels []string) (*Tree, error) {
	const op = "policy: decode tree"
	if len(labels) == 0 || len(labels) > MaxFactors {
		return nil, core.Errorf(core.Policy, op, "%d labels, want 1 to %d", len(labels), MaxFactors)
	}
	for i, l := range labels {
		if !ValidLabel(l) || i > 0 && labels[i-1] >= l {
			return nil, core.Errorf(core.Policy, op, "labels must be valid, sorted and unique")
		}
	}
	d := &decoder{in: b, labels: labels}
	raw := d.node(0)
	if raw == nil || len(d.in) != 0 {
		return nil, core.Errorf(core.Policy, op, "malformed tree")
	}
	t, err := build(raw, op)
	if err != nil {
		return nil, err
	}
	if len(t.labels) != len(labels) || !bytes.Equal(t.code, b) {
		return nil, core.Errorf(core.Policy, op, "the tree is not in canonical form")
	}
	return t, nil
}

type decoder struct {
	in     []byte
	labels []string
	nodes  int
}

// node returns nil when the encoding is malformed.
func (d *decoder) node(level int) *node {
	if d.nodes++; level > MaxDepth || d.nodes > maxNodes || len(d.in) == 0 {
		return nil
	}
	c := d.in[0]
	d.in = d.in[1:]
	if c < gateBase {
		if int(c) >= len(d.labels) {
			return nil
		}
		return &node{label: d.labels[c]}
	}
	if len(d.in) == 0 {
		return nil
	}
	k, n := int(c)-gateBase, int(d.in[0])
	d.in = d.in[1:]
	if n < 2 || n > maxKids || k < 1 || k > n {
		return nil
	}
	g := &node{k: k}
	for range n {
		kid := d.node(level + 1)
		if kid == nil {
			return nil
		}
		g.kids = append(g.kids, kid)
	}
	// A k-of gate with a repeated kid would count one factor twice.
	if k > 1 && k < n {
		for i := 1; i < n; i++ {
			if same(g.kids[i-1], g.kids[i]) {
				return nil
			}
		}
	}
	return g
}
