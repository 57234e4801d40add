package probes

import (
	"bufio"
	"bytes"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// System is the real view of this machine.
func System() Sys { return system{} }

type system struct{}

func (system) Files() fs.FS                   { return os.DirFS("/") }
func (system) Getenv(name string) string      { return os.Getenv(name) }
func (system) UID() uint32                    { return uint32(os.Getuid()) }
func (system) Executable() (string, error)    { return os.Readlink("/proc/self/exe") }
func (system) Property(string) (string, bool) { return "", false } // the app's host answers for them

// Hardened reads back what Harden set.
func (system) Hardened() (bool, error) {
	dump, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	if err != nil {
		return false, err
	}
	var core unix.Rlimit
	err = unix.Getrlimit(unix.RLIMIT_CORE, &core)
	return dump == 0 && core.Cur == 0, err
}

// Harden keeps this process's memory from core files and from other processes
// of the same user. It cannot be undone by accident: only root reads it now.
func Harden() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}

func (system) Owner(path string) (uint32, fs.FileMode, error) {
	st, err := os.Stat(strings.TrimSuffix(path, " (deleted)"))
	if err != nil {
		return 0, 0, err
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, fmt.Errorf("no owner of %s", path)
	}
	return sys.Uid, st.Mode(), nil
}

// Text reads the program's executable segments as they are mapped and compares
// them with its file.
func (s system) Text() (bool, error) {
	file, err := os.Open("/proc/self/exe")
	if err != nil {
		return false, err
	}
	defer file.Close()
	exe, err := s.Executable()
	if err != nil {
		return false, err
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return false, err
	}
	if _, err := elf.NewFile(file); err != nil {
		return false, err
	}
	seen := 0
	for l := bufio.NewScanner(bytes.NewReader(maps)); l.Scan(); {
		var lo, hi, off uint64
		var perm, dev string
		var inode uint64
		if n, _ := fmt.Sscanf(l.Text(), "%x-%x %s %x %s %d", &lo, &hi, &perm, &off, &dev, &inode); n < 6 || !strings.Contains(perm, "x") || !strings.HasSuffix(l.Text(), exe) {
			continue
		}
		same, err := equalText(file, lo, hi, off)
		if err != nil || !same {
			return same, err
		}
		seen++
	}
	if seen == 0 {
		return false, fmt.Errorf("no code of %s is mapped", filepath.Base(exe))
	}
	return true, nil
}

// equalText compares memory lo to hi with the file from off on; what the
// mapping has beyond the file's end is not compared.
func equalText(file *os.File, lo, hi, off uint64) (bool, error) {
	const step = 1 << 20
	mem, disk := make([]byte, step), make([]byte, step)
	for at := lo; at < hi; at += step {
		n := int(min(step, hi-at))
		local := unix.Iovec{Base: &mem[0]}
		local.SetLen(n)
		got, err := unix.ProcessVMReadv(os.Getpid(), []unix.Iovec{local}, []unix.RemoteIovec{{Base: uintptr(at), Len: n}}, 0)
		if err != nil || got != n {
			return false, fmt.Errorf("read own memory: %d of %d bytes, %w", got, n, err)
		}
		have, _ := file.ReadAt(disk[:n], int64(off+at-lo))
		if !bytes.Equal(mem[:have], disk[:have]) {
			return false, nil
		}
	}
	return true, nil
}

// Terminal looks at standard input.
func (system) Terminal() Terminal {
	group, err := unix.IoctlGetInt(0, unix.TIOCGPGRP)
	if err != nil {
		return Terminal{}
	}
	return Terminal{Is: true, Foreground: group == unix.Getpgrp()}
}

func (system) Clocks() (time.Time, time.Duration, error) {
	var t unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t)
	return time.Now().Round(0), time.Duration(t.Nano()), err
}

var _ Sys = system{}
