//go:build !linux

package badger

import "errors"

// freeBytes is known on Linux only; elsewhere writes are not held back.
func freeBytes(string) (uint64, bool) { return 0, false }

func reserve(string, int64) error { return errors.ErrUnsupported }
