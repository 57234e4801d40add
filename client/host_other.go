//go:build !linux

package client

// openHost has one answer here: plugin processes run from sealed memory files,
// which only Linux has, and phones cannot start processes at all.
func openHost(Options) (host, error) { return newInProcess(), nil }
