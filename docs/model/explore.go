package model

import (
	"fmt"
	"hash/maphash"
)

// checkWrite holds one write against I4 and I5.
func checkWrite(before, after *Record, op Op, p *proc) string {
	if after.Seq < before.Seq {
		return "I4: the number of the newest try went back"
	}
	reset := op.Kind == Unlock || op.Kind == NewKey
	for i, e := range before.Entries[:before.N] {
		if !e.Held || reset {
			continue
		}
		now := after.find(e.Attempt)
		if int(after.N) <= i || now == nil {
			return "I3: a counted try was overwritten"
		}
		if now.Held {
			continue
		}
		if op.Kind != Confirm && op.Kind != Replay {
			return "I4: a try was forgiven by something else than a confirmation or a reset"
		}
		if e.Foreign {
			return "I4: another device's try was forgiven"
		}
		named := false
		for _, w := range p.list[:p.n] {
			named = named || w.Seq == e.Seq && w.Attempt == e.Attempt && w.Elem == e.Elem
		}
		if !named {
			return "I4: a try was forgiven that the confirmation does not name"
		}
	}
	if after.Locked && !before.Locked && (op.Kind != Try || p.pc != lock || before.Used() < Limit) {
		return "I5: locked by something else than a try above the limit"
	}
	return ""
}

// check holds one state against I1, I2, I3 and I6.
func (m *machine) check(s *State) string {
	used := s.rec.Used()
	if used > Limit {
		return "I1: more tries counted than the limit"
	}
	open := 0
	for a := range s.answered {
		if s.answered[a] != 0 && !s.confirmed[a] && s.epochOf[a] == s.rec.Epoch {
			open++
		}
	}
	if open > used {
		return "I1: more answers since the last reset than tries counted"
	}
	for i, e := range s.rec.Entries[:s.rec.N] {
		for _, f := range s.rec.Entries[:i] {
			if e.Attempt == f.Attempt {
				return "I2: one attempt was counted twice"
			}
			if e.Seq == f.Seq {
				return "I4: two tries have one number"
			}
		}
	}
	for i, op := range m.sc.Ops {
		p := &s.procs[i]
		if p.result == failed {
			return "I3: contention became a server error"
		}
		if (op.Kind == Confirm || op.Kind == Replay) && p.result == refused {
			return "I4: a confirmation was refused"
		}
	}
	return ""
}

// A Report is what Explore found.
type Report struct {
	Scenario string
	States   int
	Steps    int
	Fault    string // the first invariant broken, empty for none
}

// Explore visits every state of a scenario, breadth first, and stops at the
// first fault. States are remembered by 128 bits of hash: two states that
// agreed in them would hide one, which at 10^7 states has probability 10^-25.
func Explore(sc Scenario, bug Bug) Report {
	m := &machine{sc, bug}
	r := Report{Scenario: sc.Name}
	if len(sc.Ops) > MaxProcs {
		r.Fault = fmt.Sprintf("%d requests, at most %d", len(sc.Ops), MaxProcs)
		return r
	}
	var first State
	for i := range sc.Ops {
		first.procs[i].crashes = sc.Crashes
	}
	s1, s2 := maphash.MakeSeed(), maphash.MakeSeed()
	id := func(s *State) [2]uint64 {
		return [2]uint64{maphash.Comparable(s1, *s), maphash.Comparable(s2, *s)}
	}
	seen := map[[2]uint64]struct{}{id(&first): {}}
	queue := []State{first}
	for len(queue) > 0 && r.Fault == "" {
		var level []State
		for i := range queue {
			m.next(&queue[i], func(n *State, fault string) {
				r.Steps++
				if fault == "" {
					fault = m.check(n)
				}
				if fault != "" && r.Fault == "" {
					r.Fault = fault
				}
				normal(n)
				k := id(n)
				if _, was := seen[k]; !was {
					seen[k] = struct{}{}
					level = append(level, *n)
				}
			})
			if r.Fault != "" {
				break
			}
		}
		queue = level
	}
	r.States = len(seen)
	return r
}

// normal forgets what no later step looks at, so that equal futures are one
// state.
func normal(s *State) {
	for i := range s.procs {
		p := &s.procs[i]
		if p.pc == start || p.pc == read || p.pc == answer || p.pc == done {
			p.snap = Record{}
		}
		if p.pc == done {
			p.crashes, p.list, p.n = 0, [MaxEntries]Entry{}, 0
		}
	}
}

// Scenarios are the situations the model is run on. Each request may die and
// be sent again so many times.
func Scenarios(crashes uint8) []Scenario {
	try := func(attempt, elem, replica uint8) Op {
		return Op{Kind: Try, Attempt: attempt, Elem: elem, Replica: replica}
	}
	return []Scenario{
		{"four guesses at two replicas", []Op{try(1, 1, 0), try(2, 1, 1), try(3, 1, 0), try(4, 1, 1)}, crashes},
		{"one attempt, two elements, repeated", []Op{try(1, 1, 0), try(1, 2, 1), try(1, 1, 1), try(2, 1, 0)}, crashes},
		{"guesses, a confirmation and its replay", []Op{try(1, 1, 0), try(2, 1, 1), try(3, 1, 0), {Kind: Confirm, Replica: 1}, {Kind: Replay}}, crashes},
		{"guesses and the administrator", []Op{try(1, 1, 0), try(2, 1, 1), try(3, 1, 0), {Kind: Unlock, Replica: 1}, {Kind: Confirm}}, crashes},
		{"unlock between a confirmation and its replay", []Op{try(1, 1, 0), try(2, 1, 1), {Kind: Unlock}, {Kind: Confirm, Replica: 1}, {Kind: Replay}}, crashes},
		{"a new key", []Op{try(1, 1, 0), try(2, 1, 1), try(3, 1, 0), {Kind: NewKey, Replica: 1}, {Kind: Read}}, crashes},
		{"another device's tries", []Op{{Kind: Try, Attempt: 1, Elem: 1, Foreign: true}, try(2, 1, 1), try(3, 1, 0), {Kind: Confirm, Replica: 1}, {Kind: Read}}, crashes},
	}
}
