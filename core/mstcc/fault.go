package mstcc

// unless runs undo when a function was left without done: by an error, or by a
// panic on its way out.
func unless(done *bool, undo func()) {
	if !*done {
		undo()
	}
}

// faulted is deferred by every service: a panic in one is a hard fault, and goes
// on to the caller once everything deferred after it has wiped what it held. A
// module in ERROR serves nothing until its tests have passed.
// req: F-14, F-25, F-33, F-38, F-45, G-7.11-04
func (m *Module) faulted() {
	p := recover()
	if p == nil {
		return
	}
	if m.machine.State() == SelfTest {
		_ = m.machine.Fire(EvFail, GuardNone)
	} else {
		_ = m.machine.Fire(EvHardFault, GuardNone)
	}
	panic(p)
}
