package model

// machine runs one scenario with one planted bug, or none.
type machine struct {
	sc  Scenario
	bug Bug
}

// next calls fn with each state that can follow s. A non-empty fault is the
// invariant the step itself breaks.
func (m *machine) next(s *State, fn func(n *State, fault string)) {
	for i := range m.sc.Ops {
		p := &s.procs[i]
		if p.pc == done {
			continue
		}
		n := *s
		fault := m.step(&n, i)
		fn(&n, fault)
		if p.crashes > 0 && p.pc != start { // the process dies; the request is sent again
			c := *s
			c.procs[i] = proc{crashes: p.crashes - 1, list: p.list, n: p.n}
			if m.bug == CountInMemory {
				c.memory[m.sc.Ops[i].Replica] = 0
			}
			fn(&c, "")
		}
	}
}

// step moves request i on by one action.
func (m *machine) step(s *State, i int) (fault string) {
	p, op := &s.procs[i], m.sc.Ops[i]
	switch p.pc {
	case start:
		m.begin(s, p, op)
	case read:
		p.snap = s.rec
		m.decide(s, p, op)
	case write, lock:
		return m.commit(s, p, op)
	case answer:
		return m.answer(s, p, op)
	}
	return ""
}

// begin is the client's part: what a Confirm names is fixed when it is sent.
func (m *machine) begin(s *State, p *proc, op Op) {
	p.pc = read
	switch {
	case op.Kind == Confirm && p.n == 0:
		for _, e := range s.rec.Entries[:s.rec.N] {
			if s.answered[e.Attempt] != 0 {
				p.list[p.n] = e
				p.n++
			}
		}
		if s.nFirst == 0 {
			s.first, s.nFirst = p.list, p.n
		}
	case op.Kind == Replay:
		p.list, p.n = s.first, s.nFirst
	}
}

// decide is SS-CC between reading and writing: core/sscc's edit functions.
func (m *machine) decide(s *State, p *proc, op Op) {
	r := &p.snap
	switch op.Kind {
	case Try:
		m.decideTry(s, p, op)
	case Confirm, Replay:
		if r.Locked && m.bug == ConfirmAfterLimit {
			p.pc, p.result = done, refused
			return
		}
		p.pc = write
	case Unlock, NewKey:
		p.pc = write
	case Read:
		p.pc, p.result = done, ok
		if m.bug == ReadLocks && r.Used() == Limit {
			p.pc, p.result = lock, none
		}
	}
}

func (m *machine) decideTry(s *State, p *proc, op Op) {
	r := &p.snap
	if e := r.find(op.Attempt); e != nil && m.bug != CountAgain {
		switch {
		case e.Elem != op.Elem && m.bug != OtherElement:
			p.pc, p.result = done, refused
		case e.Held:
			p.pc = answer
		default:
			p.pc, p.result = done, refused
		}
		return
	}
	limit, used := Limit, r.Used()
	if m.bug == OffByOne {
		limit++
	}
	if m.bug == CountInMemory {
		used = int(s.memory[op.Replica])
	}
	switch {
	case r.Locked:
		p.pc, p.result = done, locked
	case used >= limit:
		p.pc = lock
	case r.N == MaxEntries:
		p.pc, p.result = done, refused // the model's own bound; no right run reaches it
	case m.bug == AnswerFirst:
		p.pc = answer
	default:
		p.pc = write
	}
}

// commit is the compare-and-set. A lost one is read again (I3).
func (m *machine) commit(s *State, p *proc, op Op) (fault string) {
	if s.rec.Version != p.snap.Version && m.bug != BlindWrite {
		p.pc = read
		if m.bug == ContentionIsError {
			p.pc, p.result = done, failed
		}
		return ""
	}
	before := s.rec
	n := p.snap
	if p.pc == lock {
		n.Locked = true
		p.result = locked
	} else {
		m.change(s, &n, p, op)
	}
	n.Version = before.Version + 1
	s.rec = n
	fault = checkWrite(&before, &n, op, p)
	if op.Kind == Try && p.result == none {
		if m.bug == AnswerFirst {
			p.pc = done
			p.result = ok
		} else {
			p.pc = answer
		}
		return fault
	}
	p.pc = done
	return fault
}

// change applies what the request does to the record.
func (m *machine) change(s *State, n *Record, p *proc, op Op) {
	switch op.Kind {
	case Try:
		n.Seq++
		n.Entries[n.N] = Entry{Seq: n.Seq, Attempt: op.Attempt, Elem: op.Elem, Held: true, Foreign: op.Foreign}
		n.N++
		if s.counted[op.Attempt] == 0 {
			s.counted[op.Attempt], s.epochOf[op.Attempt] = n.Seq, n.Epoch
		}
		s.memory[op.Replica]++
		if m.bug == LockOnLast && n.Used() == Limit {
			n.Locked = true
		}
	case Confirm, Replay:
		p.result = ok
		for i := range n.Entries[:n.N] {
			e := &n.Entries[i]
			for _, want := range p.list[:p.n] {
				same := e.Seq == want.Seq && e.Attempt == want.Attempt && e.Elem == want.Elem
				if e.Held && same && (!e.Foreign || m.bug == ConfirmForeign) {
					e.Held = false
					s.confirmed[e.Attempt] = true
				}
			}
		}
		if n.Used() < Limit {
			n.Locked = false
		}
	case Unlock, NewKey:
		p.result = ok
		for i := range n.Entries[:n.N] {
			n.Entries[i].Held = false
		}
		n.Locked = false
		n.Epoch++
		s.memory = [2]uint8{}
		if m.bug == UnlockRewinds && op.Kind == Unlock {
			n.Seq = 0
		}
	}
}

// answer lets the result of a counted try leave.
func (m *machine) answer(s *State, p *proc, op Op) (fault string) {
	switch {
	case s.counted[op.Attempt] == 0:
		fault = "I1: an answer left before its count was durable"
	case s.answered[op.Attempt] != 0 && s.answered[op.Attempt] != op.Elem:
		fault = "I2: one attempt was answered for two elements"
	}
	s.answered[op.Attempt] = op.Elem
	p.pc, p.result = done, ok
	if m.bug == AnswerFirst && fault != "" {
		p.pc = write
		p.result = none
	}
	return fault
}
