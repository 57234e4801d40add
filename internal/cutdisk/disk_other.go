//go:build !linux

package cutdisk

import "fmt"

// A Disk exists on Linux only.
type Disk struct{}

// New is ErrAbsent.
func New(int64) (*Disk, error) {
	return nil, fmt.Errorf("%w: a power cut is made on Linux only", ErrAbsent)
}

// Dir is empty.
func (*Disk) Dir() string { return "" }

// Cut is ErrAbsent.
func (*Disk) Cut() error { return ErrAbsent }

// Back is ErrAbsent.
func (*Disk) Back() error { return ErrAbsent }

// Remove does nothing.
func (*Disk) Remove() error { return nil }
