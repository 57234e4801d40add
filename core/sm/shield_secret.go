//go:build goexperiment.runtimesecret

package sm

import rtsecret "runtime/secret"

// shielded runs f where the runtime itself erases registers, stack and, once
// collected, heap of what f used, signals included.
func shielded(f func()) { rtsecret.Do(f) }
