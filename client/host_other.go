//go:build !linux

package client

import "github.com/keposs/keposs/core/mstcc"

// openHost has one answer here: plugin processes run from sealed memory files,
// which only Linux has, and phones cannot start processes at all.
func openHost(Options) (host, error) { return newInProcess(false), nil }

// imageTests: a signed image of the app is the platform's own to check.
func imageTests() []mstcc.SelfTestCase { return nil }

// signedImage: likewise.
func signedImage() bool { return false }
