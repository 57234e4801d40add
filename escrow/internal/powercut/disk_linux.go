package powercut

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A Disk is a mounted ext4 in a file.
type Disk struct {
	t          testing.TB
	image, dir string
	n          int
}

// shutdown is EXT4_IOC_SHUTDOWN, _IOR('X', 125, __u32), and noFlush its flag
// that leaves the journal as it is on the disk.
const (
	shutdown = 0x8004587d
	noFlush  = 2
)

// New makes and mounts a disk of the size in MiB; the test's end takes it away.
// It skips where that is not possible.
func New(t testing.TB, mib int64) *Disk {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("cutting the power of a disk takes root")
	}
	base := t.TempDir()
	d := &Disk{t: t, image: filepath.Join(base, "image"), dir: filepath.Join(base, "mnt")}
	f, err := os.Create(d.image)
	if err == nil {
		err = f.Truncate(mib << 20)
		_ = f.Close()
	}
	if err == nil {
		err = os.Mkdir(d.dir, 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", d.image).CombinedOutput(); err != nil {
		t.Skipf("no ext4 can be made here: %v: %s", err, out)
	}
	if out, err := exec.Command("mount", "-o", "loop", d.image, d.dir).CombinedOutput(); err != nil {
		t.Skipf("no loop device can be mounted here: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", d.dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return d
}

// Folder makes an empty folder on the disk. It and the disk's own metadata are
// durable when it returns.
func (d *Disk) Folder() string {
	d.n++
	dir := filepath.Join(d.dir, fmt.Sprint(d.n))
	if err := os.Mkdir(dir, 0o700); err != nil {
		d.t.Fatal(err)
	}
	unix.Sync()
	return dir
}

// Place is a folder with what ends the disk under it and what brings it back;
// t's end removes the folder.
func (d *Disk) Place(t *testing.T) (dir string, cut, back func()) {
	dir = d.Folder()
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir, d.Cut, d.Back
}

// Cut ends every write from this instant on; what was not synced is lost.
func (d *Disk) Cut() {
	f, err := os.Open(d.dir)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(f.Fd()), shutdown, noFlush)
		_ = f.Close()
	}
	if err != nil {
		d.t.Errorf("cut: %v", err)
	}
}

// Back mounts the disk again as it is after the cut; nobody may use it.
func (d *Disk) Back() {
	d.t.Helper()
	if out, err := exec.Command("umount", d.dir).CombinedOutput(); err != nil {
		d.t.Fatalf("umount: %v: %s", err, out)
	}
	if out, err := exec.Command("mount", "-o", "loop", d.image, d.dir).CombinedOutput(); err != nil {
		d.t.Fatalf("mount: %v: %s", err, out)
	}
}
