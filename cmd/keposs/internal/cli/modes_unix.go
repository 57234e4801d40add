//go:build unix

package cli

// privateModes tells that file modes say who may read.
const privateModes = true
