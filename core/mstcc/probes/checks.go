package probes

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxProc bounds what is read of one file of /proc.
const maxProc = 4 << 20

func read(s Sys, name string) ([]byte, error) {
	f, err := s.Files().Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var b bytes.Buffer
	_, err = b.ReadFrom(&limited{f, maxProc})
	return b.Bytes(), err
}

type limited struct {
	f    fs.File
	left int
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errors.New("longer than expected")
	}
	n, err := l.f.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}

func exists(s Sys, name string) bool {
	_, err := fs.Stat(s.Files(), name)
	return err == nil
}

// android tells whether rows about a phone's system apply.
func android(s Sys) bool {
	return exists(s, "system/build.prop") || exists(s, "vendor/build.prop")
}

// traced is P-01. req: K-11-02, K-5.3-06
func traced(_ context.Context, s Sys, _ Options) (Verdict, string) {
	b, err := read(s, "proc/self/status")
	if err != nil {
		return Unknown, "no status"
	}
	for l := bufio.NewScanner(bytes.NewReader(b)); l.Scan(); {
		if v, ok := strings.CutPrefix(l.Text(), "TracerPid:"); ok {
			if strings.TrimSpace(v) == "0" {
				return OK, ""
			}
			return Bad, "traced"
		}
	}
	return Unknown, "no status"
}

// hardened is P-02.
func hardened(_ context.Context, s Sys, _ Options) (Verdict, string) {
	ok, err := s.Hardened()
	switch {
	case err != nil:
		return Unknown, "not read"
	case !ok:
		return Bad, "dumpable"
	}
	return OK, ""
}

// agents are parts of names that known instrumentation leaves in the map.
var agents = []string{"frida", "gum-js", "xposed", "substrate", "libgadget", "/gadget"}

// injected is P-03.
func injected(_ context.Context, s Sys, _ Options) (Verdict, string) {
	for _, name := range []string{"LD_PRELOAD", "LD_AUDIT"} {
		if s.Getenv(name) != "" {
			return Bad, "preload"
		}
	}
	b, err := read(s, "proc/self/maps")
	if err != nil {
		return Unknown, "no maps"
	}
	exe, _ := s.Executable()
	for l := bufio.NewScanner(bytes.NewReader(b)); l.Scan(); {
		part := strings.Fields(l.Text())
		if len(part) < 5 {
			continue
		}
		file := strings.Join(part[5:], " ")
		low := strings.ToLower(file)
		for _, a := range agents {
			if strings.Contains(low, a) {
				return Bad, "agent"
			}
		}
		if !strings.Contains(part[1], "x") {
			continue
		}
		switch {
		case file == "[vdso]", file == "[vsyscall]", file == "[vectors]", file == "[uprobes]":
		case strings.HasPrefix(file, "/memfd:"):
			// A plugin runs from a sealed memory file: its own program only.
			if !strings.HasPrefix(exe, "/memfd:") || strings.TrimSuffix(exe, " (deleted)") != strings.TrimSuffix(file, " (deleted)") {
				return Bad, "code from memory"
			}
		case file == "", strings.HasPrefix(file, "["):
			return Bad, "code from memory"
		}
	}
	return OK, ""
}

// rootTraces are files that root managers of phones leave.
var rootTraces = []string{
	"system/bin/su", "system/xbin/su", "sbin/su", "vendor/bin/su", "su/bin/su", "data/local/su", "data/local/xbin/su", "system/app/Superuser.apk",
	"sbin/.magisk", "data/adb/magisk", "data/adb/modules", "cache/.disable_magisk", "dev/.magisk.unblock",
	"data/adb/ksu", "data/adb/ksud", "sys/module/kernelsu",
	"data/adb/ap", "data/adb/apd",
}

// rootTools is P-04. req: K-6.1-05b
func rootTools(_ context.Context, s Sys, _ Options) (Verdict, string) {
	if !android(s) {
		return NotApplicable, ""
	}
	for _, name := range rootTraces {
		if exists(s, name) {
			return Bad, "root manager"
		}
	}
	return OK, ""
}

// bootState is P-05.
func bootState(_ context.Context, s Sys, _ Options) (Verdict, string) {
	if !android(s) {
		return NotApplicable, ""
	}
	known := false
	for name, good := range map[string]string{
		"ro.debuggable": "0", "ro.secure": "1", "ro.build.tags": "release-keys",
		"ro.boot.verifiedbootstate": "green", "ro.boot.vbmeta.device_state": "locked",
	} {
		v, ok := s.Property(name)
		if ok && v != good {
			return Bad, "boot state"
		}
		known = known || ok
	}
	if !known {
		return Unknown, "no properties"
	}
	return OK, ""
}

// selinux is P-06.
func selinux(_ context.Context, s Sys, _ Options) (Verdict, string) {
	b, err := read(s, "sys/fs/selinux/enforce")
	switch {
	case err == nil && strings.TrimSpace(string(b)) == "1":
		return OK, ""
	case err == nil:
		return Bad, "permissive"
	case android(s):
		return Unknown, "not read"
	}
	return NotApplicable, ""
}

// writable is P-07: the module's folders on every system, the system's own on
// a phone. req: G-7.6-01, G-7.6-02
func writable(_ context.Context, s Sys, o Options) (Verdict, string) {
	for _, dir := range o.Dirs {
		uid, mode, err := s.Owner(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return Unknown, "not read"
		}
		if mode.Perm()&0o022 != 0 || uid != s.UID() && uid != 0 {
			return Bad, "module files"
		}
	}
	if !android(s) {
		return OK, ""
	}
	b, err := read(s, "proc/self/mounts")
	if err != nil {
		return Unknown, "no mounts"
	}
	for l := bufio.NewScanner(bytes.NewReader(b)); l.Scan(); {
		part := strings.Fields(l.Text())
		if len(part) < 4 || part[1] != "/system" && part[1] != "/vendor" {
			continue
		}
		if part[2] == "overlay" || strings.HasPrefix(part[3]+",", "rw,") {
			return Bad, "system files"
		}
	}
	return OK, ""
}

// emulator is P-08.
func emulator(_ context.Context, s Sys, _ Options) (Verdict, string) {
	if !android(s) {
		return NotApplicable, ""
	}
	if v, _ := s.Property("ro.kernel.qemu"); v == "1" {
		return Bad, "emulator"
	}
	if v, _ := s.Property("ro.hardware"); v == "goldfish" || v == "ranchu" {
		return Bad, "emulator"
	}
	for _, name := range []string{"dev/qemu_pipe", "dev/socket/qemud"} {
		if exists(s, name) {
			return Bad, "emulator"
		}
	}
	return OK, ""
}

// image is P-09.
func image(_ context.Context, _ Sys, o Options) (Verdict, string) {
	if o.Image == nil {
		return NotApplicable, "no signed image"
	}
	if o.Image() != nil {
		return Bad, "image"
	}
	return OK, ""
}

// text is P-10.
func text(_ context.Context, s Sys, _ Options) (Verdict, string) {
	same, err := s.Text()
	switch {
	case err != nil:
		return Unknown, "not read"
	case !same:
		return Bad, "code changed"
	}
	return OK, ""
}

// kernel is P-11: advisory, recorded.
func kernel(_ context.Context, s Sys, _ Options) (Verdict, string) {
	b, err := read(s, "proc/sys/kernel/tainted")
	if err != nil {
		return Unknown, "not read"
	}
	const forced, unsigned = 1 << 1, 1 << 13 // module forced; module without a signature
	if n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64); err != nil || n&(forced|unsigned) != 0 {
		return Bad, "tainted"
	}
	if b, err = read(s, "proc/sys/kernel/yama/ptrace_scope"); err == nil && strings.TrimSpace(string(b)) == "0" {
		return Bad, "any process of the user may trace"
	}
	return OK, ""
}

// terminal is P-12. Without a terminal nobody types here.
// req: K-5.3-02b
func terminal(_ context.Context, s Sys, _ Options) (Verdict, string) {
	t := s.Terminal()
	switch {
	case !t.Is:
		return NotApplicable, ""
	case !t.Foreground:
		return Bad, "background"
	case t.Others:
		return Bad, "shared terminal"
	}
	return OK, ""
}

// asked is a probe only the host can answer.
func asked(string) func(context.Context, Sys, Options) (Verdict, string) {
	return func(context.Context, Sys, Options) (Verdict, string) { return NotApplicable, "no host" }
}

// owner is P-15.
func owner(_ context.Context, s Sys, _ Options) (Verdict, string) {
	exe, err := s.Executable()
	if err != nil {
		return Unknown, "not found"
	}
	if strings.HasPrefix(exe, "/memfd:") {
		return OK, "" // sealed
	}
	uid, mode, err := s.Owner(exe)
	if err != nil {
		return Unknown, "not read"
	}
	if mode.Perm()&0o022 != 0 || uid != s.UID() && uid != 0 {
		return Bad, "program"
	}
	if _, mode, err = s.Owner(path.Dir(exe)); err == nil && mode.Perm()&0o002 != 0 && mode&fs.ModeSticky == 0 {
		return Bad, "program's folder"
	}
	return OK, ""
}

// A Clock remembers the clocks of the run before. Safe for concurrent use.
type Clock struct {
	mu   sync.Mutex
	wall time.Time
	boot time.Duration
	back bool
}

// slack is how much the wall clock may be set back by time keeping.
const slack = 2 * time.Second

// clock is P-16: since the last look the wall clock moved less than time since
// boot did. It stays bad: a clock set right again does not undo what was done.
func clock(_ context.Context, s Sys, o Options) (Verdict, string) {
	if o.Clock == nil {
		return NotApplicable, ""
	}
	wall, boot, err := s.Clocks()
	if err != nil {
		return Unknown, "not read"
	}
	c := o.Clock
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.wall.IsZero() && wall.Sub(c.wall) < boot-c.boot-slack {
		c.back = true
	}
	c.wall, c.boot = wall, boot
	if c.back {
		return Bad, "set back"
	}
	return OK, ""
}
