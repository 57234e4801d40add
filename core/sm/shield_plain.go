//go:build !goexperiment.runtimesecret

package sm

// shielded is plain: guarded clears what f leaves.
func shielded(f func()) { f() }
