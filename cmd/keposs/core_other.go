//go:build !linux

package main

// noCore is the platform's own elsewhere.
func noCore() {}
