//go:build unix

package mstcc

import (
	"os"

	"github.com/keposs/keposs/core"
)

// syncDir makes a rename or removal in dir durable.
func syncDir(dir string) error {
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
