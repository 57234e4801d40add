//go:build unix

// Package durable makes names in the terminal's folders last through a power cut.
package durable

import (
	"os"

	"github.com/keposs/keposs/core"
)

// Folder makes a new name, a rename or a removal in dir durable.
func Folder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return core.Errorf(core.Internal, "mstcc: sync folder", "%w", err)
	}
	defer func() { _ = d.Close() }()
	if err := d.Sync(); err != nil {
		return core.Errorf(core.Exhausted, "mstcc: sync folder", "%w", err)
	}
	return nil
}
