package mstcc

import (
	"errors"
	"testing"

	"github.com/keposs/keposs/core"
)

// walk returns every state reachable from start without entering a state of avoid.
func walk(start State, avoid ...State) map[State]bool {
	seen := map[State]bool{}
	blocked := map[State]bool{}
	for _, s := range avoid {
		blocked[s] = true
	}
	var visit func(State)
	visit = func(s State) {
		if seen[s] || blocked[s] {
			return
		}
		seen[s] = true
		for _, row := range Table {
			if row.From == s {
				visit(row.To)
			}
		}
	}
	visit(start)
	return seen
}

// req: K-17.3-00, TK-05
func TestTableIsDeterministic(t *testing.T) {
	type key struct {
		s State
		e Event
		g Guard
	}
	seen, ids := map[key]string{}, map[string]bool{}
	for _, row := range Table {
		k := key{row.From, row.Event, row.Guard}
		if other, twice := seen[k]; twice {
			t.Errorf("%s and %s share (%s, %s, %s)", other, row.ID, k.s, k.e, k.g)
		}
		if ids[row.ID] {
			t.Errorf("id %s stands twice", row.ID)
		}
		seen[k], ids[row.ID] = row.ID, true
	}
	// An unguarded row beside guarded ones for the same event would be ambiguous.
	for k, id := range seen {
		for k2, id2 := range seen {
			if k.s == k2.s && k.e == k2.e && k.g == GuardNone && k2.g != GuardNone {
				t.Errorf("%s (no guard) hides %s", id, id2)
			}
		}
	}
}

// The graph checks of requirement part 10.
// req: K-17.3-00, K-10.3-02, G-7.11-04, K-17.3-01, K-17.3-02, K-17.3-03, K-17.3-04, K-17.3-05, K-17.3-06, K-17.3-08
func TestGraph(t *testing.T) {
	reach := walk(Off)
	for _, s := range States() {
		if !reach[s] {
			t.Errorf("%s is not reachable", s)
		}
		if !walk(s)[Off] {
			t.Errorf("OFF is not reachable from %s", s)
		}
	}
	if walk(Off, SelfTest)[Approved] {
		t.Error("APPROVED is reachable without SELFTEST")
	}
	for _, row := range Table {
		if row.To == Approved && row.From != User {
			t.Errorf("%s enters APPROVED from %s", row.ID, row.From)
		}
		if row.From == Error && row.To != SelfTest && row.To != Off && row.To != EOL {
			t.Errorf("%s leaves ERROR to %s", row.ID, row.To)
		}
	}
	if !walk(Off)[Approved] {
		t.Error("control: APPROVED is not reachable at all")
	}
}

// Every row of the table is reached from OFF by rows of the table alone and
// leads where it says; the grant is given by F-27 and outlives no other row.
// req: F-01, F-01b, F-02, F-03, F-04, F-04b, F-05, F-06, F-07, F-08, F-09, F-10, F-11, F-12, F-13, F-14, F-15, F-16
// req: F-17, F-18, F-19, F-20, F-21, F-22, F-23, F-24, F-25, F-26, F-27, F-28, F-29, F-30, F-31, F-32, F-33, F-34
// req: F-35, F-36, F-37, F-38, F-39, F-40, F-41, F-42, F-43, F-44, F-45, F-46, F-47, F-48, F-49, F-50, F-51
func TestEveryRow(t *testing.T) {
	type node struct {
		s State
		g bool
	}
	// path holds the rows that lead from OFF to a state with or without grant.
	path := map[node][]Transition{{Off, false}: nil}
	for queue := []node{{Off, false}}; len(queue) > 0; queue = queue[1:] {
		for _, row := range Table {
			if row.From != queue[0].s || row.ID == "F-19" && !queue[0].g {
				continue
			}
			to := node{row.To, row.ID == "F-27" || row.To == Approved && queue[0].g}
			if _, known := path[to]; !known {
				path[to] = append(path[queue[0]][:len(path[queue[0]]):len(path[queue[0]])], row)
				queue = append(queue, to)
			}
		}
	}
	for _, row := range Table {
		t.Run(row.ID, func(t *testing.T) {
			before, ok := path[node{row.From, row.ID == "F-19"}]
			if !ok {
				t.Fatalf("%s is not reached", row.From)
			}
			var last Transition
			m := NewMachine(func(tr Transition) { last = tr })
			for _, r := range before {
				if err := m.Fire(r.Event, r.Guard); err != nil {
					t.Fatalf("on the way, %s: %v", r.ID, err)
				}
			}
			if err := m.Fire(row.Event, row.Guard); err != nil {
				t.Fatal(err)
			}
			if m.State() != row.To || last != row {
				t.Errorf("now %s by %s, want %s", m.State(), last.ID, row.To)
			}
			if want := row.ID == "F-27" || row.ID == "F-19"; m.grant != want {
				t.Errorf("grant %v, want %v", m.grant, want)
			}
		})
	}
}

// In the product with the grant bit, F-19 never fires without a grant, and the
// grant never outlives one service.
// req: K-17.3-05, K-7.2-D2, TK-05
func TestGrantProduct(t *testing.T) {
	type node struct {
		s State
		g bool
	}
	seen := map[node]bool{}
	queue := []node{{Off, false}}
	entered := false
	for len(queue) > 0 {
		n := queue[0]
		queue = queue[1:]
		if seen[n] {
			continue
		}
		seen[n] = true
		for _, row := range Table {
			if row.From != n.s {
				continue
			}
			m := &Machine{state: n.s, grant: n.g}
			err := m.Fire(row.Event, row.Guard)
			if row.ID == "F-19" {
				if (err == nil) != n.g {
					t.Errorf("F-19 with grant %v: %v", n.g, err)
				}
				entered = entered || err == nil
			}
			if err == nil {
				queue = append(queue, node{m.state, m.grant})
			}
		}
	}
	for n := range seen {
		if n.g && n.s != User && n.s != Approved {
			t.Errorf("grant held in %s", n.s)
		}
	}
	if !entered {
		t.Error("control: F-19 never fired")
	}
}

// Every (state, event, guard) outside the table is refused and changes nothing.
// req: K-17.3-00, TK-05
func TestUnlistedIsRefused(t *testing.T) {
	events, guards := map[Event]bool{}, map[Guard]bool{}
	for _, row := range Table {
		events[row.Event], guards[row.Guard] = true, true
	}
	for _, s := range States() {
		for e := range events {
			for g := range guards {
				if _, ok := find(s, e, g); ok {
					continue
				}
				m := &Machine{state: s, grant: true}
				if err := m.Fire(e, g); !errors.Is(err, core.State) || m.state != s || !m.grant {
					t.Fatalf("%s %s %q: %v, now %s", s, e, g, err, m.state)
				}
			}
		}
	}
}

// req: G-7.3-02, G-7.3-03
func TestOutputInhibited(t *testing.T) {
	for _, s := range States() {
		m := &Machine{state: s}
		if got, want := m.OutputAllowed(), s == User || s == Approved; got != want {
			t.Errorf("%s: output allowed %v", s, got)
		}
	}
}
