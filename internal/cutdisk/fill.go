package cutdisk

import (
	"os"
	"path/filepath"
)

// Fill writes a file until the disk is full and returns its name.
func (d *Disk) Fill() (string, error) {
	name := filepath.Join(d.Dir(), "filler")
	f, err := os.Create(name)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	for block := make([]byte, 1<<20); len(block) >= 512; {
		if _, err := f.Write(block); err != nil {
			block = block[:len(block)/2]
		}
	}
	return name, nil
}
