//go:build !linux

package faultscmd

type disk struct{ at string }

func newDisk(int64) (*disk, error) { return nil, skipped("a power cut is made on Linux only") }

func (d *disk) mount() error          { return nil }
func (d *disk) unmount() error        { return nil }
func (d *disk) cut() error            { return nil }
func (d *disk) fill() (string, error) { return "", nil }
func (d *disk) remove()               {}
