//go:build !linux

package client

// child is for tests that read another process's memory, on Linux.
func child() {}
