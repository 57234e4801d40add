//go:build !linux

package plugins

func harden() {}
