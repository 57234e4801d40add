//go:build !linux

package powercut

import (
	"os"
	"testing"
)

// A Disk exists on Linux only.
type Disk struct{}

// New skips the test.
func New(t testing.TB, _ int64) *Disk {
	t.Skip("cutting the power of a disk is written for Linux")
	return nil
}

// Folder is never reached.
func (*Disk) Folder() string { return "" }

// Place is never reached.
func (*Disk) Place(*testing.T) (dir string, cut func(*os.Process), back func()) {
	return "", nil, nil
}

// Cut is never reached.
func (*Disk) Cut() {}

// Back is never reached.
func (*Disk) Back() {}
