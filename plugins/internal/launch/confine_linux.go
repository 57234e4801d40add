package launch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A confinement is what a process is left with: no network, no socket but those
// it is called on, and of the file system what it names.
type confinement struct {
	read  []string // files and folders it may read and execute
	write []string // folders it may do everything in
}

// system is what an interpreter, a loader and a language's runtime read.
var system = []string{"/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d",
	"/etc/alternatives", "/etc/localtime", "/dev/zero", "/dev/random", "/dev/urandom"}

// landlock is the version of Landlock this kernel has; 0 = none.
func landlock() int {
	v, _, err := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if err != 0 {
		return 0
	}
	return int(v)
}

// machine is this program's architecture as a filter sees it; 0 where no filter
// is written for it.
func machine() uint32 {
	switch runtime.GOARCH {
	case "amd64":
		return unix.AUDIT_ARCH_X86_64
	case "arm64":
		return unix.AUDIT_ARCH_AARCH64
	}
	return 0
}

// filters says that seccomp filters can be set.
func filters() bool {
	_, err := unix.PrctlRetInt(unix.PR_GET_SECCOMP, 0, 0, 0, 0)
	return err == nil && machine() != 0
}

// Confinement says how confined processes are shut off here; "" = not at all.
func Confinement() string {
	var parts []string
	if filters() {
		parts = append(parts, "no network and no calls to other processes (seccomp)")
	}
	if v := landlock(); v > 0 {
		parts = append(parts, fmt.Sprintf("no files but the system's programs and their own folder (Landlock %d)", v))
	}
	return strings.Join(parts, "; ")
}

// apply confines the calling thread, which is locked, and all it forks, for
// ever. What the kernel has no means for is left out; what it has must work.
func (c *confinement) apply() error {
	if landlock() == 0 && !filters() {
		return nil
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("confine: %w", err)
	}
	if v := landlock(); v > 0 {
		if err := c.files(v); err != nil {
			return fmt.Errorf("confine files: %w", err)
		}
	}
	if filters() {
		if err := setFilter(filter()); err != nil {
			return fmt.Errorf("confine calls: %w", err)
		}
	}
	return nil
}

// Rights of Landlock, by the version that brought them.
const (
	fileRights = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE |
		unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	readRights = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
)

func rights(version int) (fs, net, scope uint64) {
	fs = unix.LANDLOCK_ACCESS_FS_MAKE_SYM<<1 - 1 // the 13 of version 1
	if version >= 2 {
		fs |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if version >= 3 {
		fs |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if version >= 4 {
		net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	if version >= 5 {
		fs |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if version >= 6 {
		scope = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
	}
	return fs, net, scope
}

// files is Landlock: what is not named cannot be opened.
func (c *confinement) files(version int) error {
	fs, net, scope := rights(version)
	// A kernel knows the fields of its version; the others are not shown to it.
	attr := [3]uint64{fs, net, scope}
	size := 8
	if version >= 4 {
		size = 16
	}
	if version >= 6 {
		size = 24
	}
	set, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr[0])), uintptr(size), 0)
	if errno != 0 {
		return errno
	}
	defer unix.Close(int(set))
	rule := func(path string, allowed uint64) error {
		fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		defer unix.Close(fd)
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			allowed &= fileRights
		}
		beneath := unix.LandlockPathBeneathAttr{Allowed_access: allowed & fs, Parent_fd: int32(fd)}
		if _, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, set, unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&beneath)), 0, 0, 0); errno != 0 {
			return fmt.Errorf("%s: %w", path, errno)
		}
		return nil
	}
	err := rule(os.DevNull, unix.LANDLOCK_ACCESS_FS_READ_FILE|unix.LANDLOCK_ACCESS_FS_WRITE_FILE|unix.LANDLOCK_ACCESS_FS_TRUNCATE)
	for _, list := range [][]string{system, c.read} {
		for _, path := range list {
			err = errors.Join(err, rule(path, readRights))
		}
	}
	for _, path := range c.write {
		err = errors.Join(err, rule(path, fs))
	}
	if err != nil {
		return err
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, set, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// denied are calls no source and no KDF has a use for: connections, other processes, the
// kernel's own doors.
var denied = []uint32{
	unix.SYS_CONNECT, unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PIDFD_GETFD, unix.SYS_KCMP,
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_SETNS, unix.SYS_UNSHARE, unix.SYS_OPEN_BY_HANDLE_AT,
	unix.SYS_FSOPEN, unix.SYS_MOVE_MOUNT, unix.SYS_OPEN_TREE,
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_IO_URING_SETUP,
	unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY,
	unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_KEXEC_LOAD, unix.SYS_REBOOT, unix.SYS_SWAPON, unix.SYS_SWAPOFF,
	unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME, unix.SYS_ADJTIMEX, unix.SYS_CLOCK_ADJTIME, unix.SYS_ACCT, unix.SYS_QUOTACTL,
}

// filter lets a thread make streams between processes of this machine, which it
// can only listen on, and refuses every other socket and the denied calls. A
// call of another architecture's table ends the process.
func filter() []unix.SockFilter {
	const (
		load   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		atMost = unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K
		and    = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
		ret    = unix.BPF_RET | unix.BPF_K
		number = 0  // offsets of struct seccomp_data
		arch   = 4  //
		first  = 16 // low half of an argument: both architectures are little-endian
		second = 24
		x32    = 0x40000000 // another table under the same architecture
		types  = 0xf        // a socket's type without its flags
		refuse = unix.SECCOMP_RET_ERRNO | uint32(unix.EACCES)
	)
	f := []unix.SockFilter{
		{Code: load, K: arch}, {Code: equal, K: machine(), Jt: 1}, {Code: ret, K: unix.SECCOMP_RET_KILL_PROCESS},
		{Code: load, K: number}, {Code: atMost, K: x32 - 1, Jf: 1}, {Code: ret, K: refuse},
	}
	for _, n := range denied {
		f = append(f, unix.SockFilter{Code: equal, K: n, Jf: 1}, unix.SockFilter{Code: ret, K: refuse})
	}
	return append(f,
		unix.SockFilter{Code: equal, K: unix.SYS_SOCKET, Jt: 1}, unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: load, K: first}, unix.SockFilter{Code: equal, K: unix.AF_UNIX, Jt: 1}, unix.SockFilter{Code: ret, K: refuse},
		unix.SockFilter{Code: load, K: second}, unix.SockFilter{Code: and, K: types}, unix.SockFilter{Code: equal, K: unix.SOCK_STREAM, Jt: 1},
		unix.SockFilter{Code: ret, K: refuse}, unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ALLOW},
	)
}

func setFilter(f []unix.SockFilter) error {
	prog := unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(f)
	if errno != 0 {
		return errno
	}
	return nil
}

// confine is what the process of s needs, beside what s allows it to read; dir
// is the folder of its socket.
func (s Spec) confine(dir string) *confinement {
	if !s.Confined {
		return nil
	}
	c := &confinement{read: s.Read, write: []string{dir}}
	if s.Image.dir != "" {
		c.read = append(c.read, s.Image.dir)
	}
	if s.Dir != "" {
		c.read = append(c.read, filepath.Clean(s.Dir))
	}
	return c
}
