// Package step names the points where a process may die, so that tests can
// kill it there and show that exactly one usable state is left (I1, K-17.1-D1).
//
// Components call a Func they were configured with; commands pass At. In every
// normal build At does nothing: the switch exists only under the build tag
// keposs_crash, which no release carries.
package step

// A Func is called with the name of the point just reached. nil means none.
type Func func(name string)

// At calls f when it is set.
func (f Func) At(name string) {
	if f != nil {
		f(name)
	}
}
