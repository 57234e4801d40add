package cutdisk

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// shutdown is EXT4_IOC_SHUTDOWN, _IOR('X', 125, __u32), and noFlush its flag
// that leaves the journal as it is on the disk.
const (
	shutdown = 0x8004587d
	noFlush  = 2
)

// A Disk is mounted in a temporary folder.
type Disk struct{ base, image, at string }

// New makes and mounts a disk of the size in MiB. Remove takes it away.
func New(mib int64) (*Disk, error) {
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("%w: mounting a file system needs root", ErrAbsent)
	}
	if _, err := exec.LookPath("mkfs.ext4"); err != nil {
		return nil, fmt.Errorf("%w: mkfs.ext4 is not installed", ErrAbsent)
	}
	base, err := os.MkdirTemp("", "keposs-disk-")
	if err != nil {
		return nil, err
	}
	d := &Disk{base: base, image: filepath.Join(base, "image"), at: filepath.Join(base, "mnt")}
	if err = d.make(mib); err == nil {
		if err = d.mount(); err != nil {
			err = fmt.Errorf("%w: a loop device cannot be mounted here: %w", ErrAbsent, err)
		}
	}
	if err != nil {
		_ = os.RemoveAll(base)
		return nil, err
	}
	return d, nil
}

func (d *Disk) make(mib int64) error {
	if err := os.Mkdir(d.at, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(d.image, nil, 0o600); err != nil {
		return err
	}
	if err := os.Truncate(d.image, mib<<20); err != nil {
		return err
	}
	return command("mkfs.ext4", "-q", "-F", d.image)
}

func command(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %.200s", name, err, out)
	}
	return nil
}

func (d *Disk) mount() error { return command("mount", "-o", "loop", d.image, d.at) }

// unmount waits for a process that has just been killed.
func (d *Disk) unmount() (err error) {
	for range 100 {
		if err = unix.Unmount(d.at, 0); err == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("unmount: %w", err)
}

// Dir is where the disk is mounted.
func (d *Disk) Dir() string { return d.at }

// Cut takes the power: nothing written from now on arrives, and what was not
// yet on the disk never will.
func (d *Disk) Cut() error {
	f, err := os.Open(d.at)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := unix.IoctlSetPointerInt(int(f.Fd()), shutdown, noFlush); err != nil {
		return fmt.Errorf("%w: the kernel does not shut this file system down: %w", ErrAbsent, err)
	}
	return nil
}

// Back mounts the disk again as it is after the cut; nobody may use it.
func (d *Disk) Back() error {
	if err := d.unmount(); err != nil {
		return err
	}
	return d.mount()
}

// Remove takes the disk away.
func (d *Disk) Remove() error { return errors.Join(d.unmount(), os.RemoveAll(d.base)) }
