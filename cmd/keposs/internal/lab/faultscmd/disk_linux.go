package faultscmd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// The ext4 request to go down at once, and its flag: without writing the log.
const (
	fsShutdown = 0x8004587d // _IOR('X', 125, __u32)
	noLogFlush = 2
)

// A disk is an ext4 file system in a file.
type disk struct{ dir, image, at string }

// newDisk makes and mounts one of so many MiB.
func newDisk(mb int64) (*disk, error) {
	if os.Getuid() != 0 {
		return nil, skipped("mounting a file system needs root")
	}
	if _, err := exec.LookPath("mkfs.ext4"); err != nil {
		return nil, skipped("mkfs.ext4 is not installed")
	}
	dir, err := os.MkdirTemp("", "keposs-disk-")
	if err != nil {
		return nil, err
	}
	d := &disk{dir: dir, image: filepath.Join(dir, "image"), at: filepath.Join(dir, "mnt")}
	err = os.Mkdir(d.at, 0o700)
	if err == nil {
		err = os.WriteFile(d.image, nil, 0o600)
	}
	if err == nil {
		err = os.Truncate(d.image, mb<<20)
	}
	if err == nil {
		err = command("mkfs.ext4", "-q", d.image)
	}
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	if err := d.mount(); err != nil {
		_ = os.RemoveAll(dir)
		return nil, skipped("a loop device cannot be mounted here")
	}
	return d, nil
}

func command(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %.200s", name, err, out)
	}
	return nil
}

func (d *disk) mount() error { return command("mount", "-o", "loop", d.image, d.at) }

// unmount waits for a process that has just been killed.
func (d *disk) unmount() (err error) {
	for range 100 {
		if err = unix.Unmount(d.at, 0); err == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("unmount: %w", err)
}

// cut takes the power: nothing written from now on arrives, and what was not
// yet on the disk never will.
func (d *disk) cut() error {
	f, err := os.Open(d.at)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := unix.IoctlSetPointerInt(int(f.Fd()), fsShutdown, noLogFlush); err != nil {
		return skipped("the kernel does not shut this file system down: " + err.Error())
	}
	return nil
}

// fill writes a file until the disk is full and returns its name.
func (d *disk) fill() (string, error) {
	name := filepath.Join(d.at, "filler")
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

func (d *disk) remove() {
	_ = d.unmount()
	_ = os.RemoveAll(d.dir)
}
