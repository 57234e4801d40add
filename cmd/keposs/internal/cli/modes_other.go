//go:build !unix

package cli

// privateModes tells that file modes say who may read; access lists do here.
const privateModes = false
