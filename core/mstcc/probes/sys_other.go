//go:build !linux

package probes

import (
	"errors"
	"io/fs"
	"os"
	"time"
)

// System is the view of a platform whose checks are its own: every probe that
// needs more than files is unknown or left to the host.
func System() Sys { return system{} }

type system struct{}

var errElsewhere = errors.New("not on this platform")

func (system) Files() fs.FS                              { return os.DirFS("/") }
func (system) Property(string) (string, bool)            { return "", false }
func (system) Getenv(name string) string                 { return os.Getenv(name) }
func (system) Hardened() (bool, error)                   { return false, errElsewhere }
func (system) Text() (bool, error)                       { return false, errElsewhere }
func (system) Executable() (string, error)               { return os.Executable() }
func (system) Owner(string) (uint32, fs.FileMode, error) { return 0, 0, errElsewhere }
func (system) UID() uint32                               { return uint32(max(os.Getuid(), 0)) }
func (system) Terminal() Terminal                        { return Terminal{} }
func (system) Clocks() (time.Time, time.Duration, error) { return time.Time{}, 0, errElsewhere }

// Harden is the platform's own on anything but Linux.
func Harden() error { return errElsewhere }
