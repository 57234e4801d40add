//go:build !unix

package mstcc

// syncDir is nothing here: this platform makes renames durable by itself.
func syncDir(string) error { return nil }
