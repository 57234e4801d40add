package probes

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/keposs/keposs/core"
)

// fake is a system of the test's making; the zero one is a plain server.
type fake struct {
	files fstest.MapFS
	props map[string]string
	env   map[string]string
	open  bool // not hardened
	patch bool // code changed
	exe   string
	owner map[string]fs.FileMode
	tty   Terminal
	wall  time.Time
	boot  time.Duration
}

func server() *fake {
	return &fake{
		files: fstest.MapFS{
			"proc/self/status":        {Data: []byte("Name:\tkeposs\nTracerPid:\t0\n")},
			"proc/self/maps":          {Data: []byte("00400000-00800000 r-xp 00000000 08:01 42 /usr/bin/keposs\nc000000000-c000400000 rw-p 00000000 00:00 0\n7fff-8fff r-xp 00000000 00:00 0 [vdso]\n")},
			"proc/sys/kernel/tainted": {Data: []byte("0\n")},
		},
		exe: "/usr/bin/keposs", wall: time.Unix(1000, 0), boot: 500 * time.Second,
	}
}

// phone is a locked, unrooted phone.
func phone() *fake {
	f := server()
	f.files["system/build.prop"] = &fstest.MapFile{}
	f.files["sys/fs/selinux/enforce"] = &fstest.MapFile{Data: []byte("1")}
	f.files["proc/self/mounts"] = &fstest.MapFile{Data: []byte("/dev/x /system ext4 ro,seclabel 0 0\n")}
	f.props = map[string]string{"ro.debuggable": "0", "ro.secure": "1", "ro.build.tags": "release-keys", "ro.boot.verifiedbootstate": "green", "ro.boot.vbmeta.device_state": "locked"}
	return f
}

func (f *fake) Files() fs.FS                              { return f.files }
func (f *fake) Property(n string) (string, bool)          { v, ok := f.props[n]; return v, ok }
func (f *fake) Getenv(n string) string                    { return f.env[n] }
func (f *fake) Hardened() (bool, error)                   { return !f.open, nil }
func (f *fake) Text() (bool, error)                       { return !f.patch, nil }
func (f *fake) Executable() (string, error)               { return f.exe, nil }
func (f *fake) UID() uint32                               { return 1000 }
func (f *fake) Terminal() Terminal                        { return f.tty }
func (f *fake) Clocks() (time.Time, time.Duration, error) { return f.wall, f.boot, nil }
func (f *fake) Owner(p string) (uint32, fs.FileMode, error) {
	if m, ok := f.owner[p]; ok {
		return 1000, m, nil
	}
	return 0, 0o755, nil
}

func put(name, data string) func(*fake) {
	return func(f *fake) { f.files[name] = &fstest.MapFile{Data: []byte(data)} }
}

func prop(name, v string) func(*fake) { return func(f *fake) { f.props[name] = v } }

func of(list []Finding, id string) Finding {
	for _, f := range list {
		if f.ID == id {
			return f
		}
	}
	return Finding{}
}

// A plain server and a sound phone pass both levels; each change turns exactly
// its own probe bad.
// req: K-5.3-05, K-6.1-05b, K-12.1-L2b, K-16-04, P-01, P-02, P-03, P-04, P-05, P-06, P-07, P-08, P-10, P-11, P-12, P-15
func TestEachProbe(t *testing.T) {
	for _, c := range []struct {
		id     string
		on     func() *fake
		change func(*fake)
	}{
		{"P-01", server, put("proc/self/status", "TracerPid:\t77\n")},
		{"P-02", server, func(f *fake) { f.open = true }},
		{"P-03", server, func(f *fake) { f.env = map[string]string{"LD_PRELOAD": "/tmp/x.so"} }},
		{"P-03", server, put("proc/self/maps", "7f00-7f01 rwxp 00000000 00:00 0\n")},
		{"P-03", server, put("proc/self/maps", "7f00-7f01 r-xp 00000000 00:01 9 /memfd:x (deleted)\n")},
		{"P-03", phone, put("proc/self/maps", "7f00-7f01 r--p 00000000 08:01 9 /data/local/tmp/re.frida.server/frida-agent-64.so\n")},
		{"P-04", phone, put("system/xbin/su", "")},
		{"P-04", phone, put("data/adb/magisk", "")},
		{"P-04", phone, put("data/adb/ksud", "")},
		{"P-04", phone, put("data/adb/apd", "")},
		{"P-05", phone, prop("ro.debuggable", "1")},
		{"P-05", phone, prop("ro.boot.verifiedbootstate", "orange")},
		{"P-06", phone, put("sys/fs/selinux/enforce", "0")},
		{"P-06", server, put("sys/fs/selinux/enforce", "0")},
		{"P-07", server, func(f *fake) { f.owner = map[string]fs.FileMode{"/data": 0o777} }},
		{"P-07", phone, put("proc/self/mounts", "overlay /system overlay ro 0 0\n")},
		{"P-07", phone, put("proc/self/mounts", "/dev/x /vendor ext4 rw,seclabel 0 0\n")},
		{"P-08", phone, prop("ro.kernel.qemu", "1")},
		{"P-08", phone, put("dev/qemu_pipe", "")},
		{"P-10", server, func(f *fake) { f.patch = true }},
		{"P-11", server, put("proc/sys/kernel/tainted", "8192\n")},
		{"P-11", server, put("proc/sys/kernel/yama/ptrace_scope", "0\n")},
		{"P-12", server, func(f *fake) { f.tty = Terminal{Is: true} }},
		{"P-12", server, func(f *fake) { f.tty = Terminal{Is: true, Foreground: true, Others: true} }},
		{"P-15", server, func(f *fake) { f.owner = map[string]fs.FileMode{"/usr/bin/keposs": 0o777} }},
	} {
		o := Options{Level: 2, Dirs: []string{"/data"}, Image: func() error { return nil }, Clock: &Clock{}}
		s := c.on()
		before := Run(context.Background(), s, o)
		if err := Check(before, 2); err != nil {
			t.Fatalf("before anything is wrong: %v", err)
		}
		c.change(s)
		after := Run(context.Background(), s, o)
		for i, f := range after {
			if (f.Verdict == Bad) != (f.ID == c.id) {
				t.Errorf("%s: %s says %s, before %s", c.id, f.ID, f.Verdict, before[i].Verdict)
			}
		}
		f := of(after, c.id)
		if err := Check(after, 2); f.Mandatory != errors.Is(err, core.Environment) || f.Mandatory && !strings.Contains(err.Error(), c.id) {
			t.Errorf("%s, mandatory %v: %v", c.id, f.Mandatory, err)
		}
	}
	if n := len(Run(context.Background(), server(), Options{})); n != 16 {
		t.Errorf("%d probes, part 13 lists 16", n)
	}
}

// req: P-09, P-16
func TestImageAndClock(t *testing.T) {
	s, c := server(), &Clock{}
	run := func(o Options) []Finding { return Run(context.Background(), s, o) }
	if f := of(run(Options{}), "P-09"); f.Verdict != NotApplicable {
		t.Errorf("no signed image: %+v", f)
	}
	if f := of(run(Options{Image: func() error { return core.Integrity }}), "P-09"); f.Verdict != Bad || !f.Mandatory {
		t.Errorf("a flipped byte: %+v", f)
	}
	for i, d := range []struct {
		wall, boot time.Duration
		want       Verdict
	}{{0, 0, OK}, {time.Hour, time.Hour, OK}, {time.Hour, 0, OK}, {time.Hour, time.Hour - time.Second, OK}, {0, time.Minute, Bad}, {time.Hour, time.Hour, Bad}} {
		s.wall, s.boot = s.wall.Add(d.wall), s.boot+d.boot
		if f := of(run(Options{Clock: c}), "P-16"); f.Verdict != d.want {
			t.Errorf("step %d: %s", i, f.Verdict)
		}
	}
}

// The host answers what only it can see; it can make a verdict worse, and
// better only where the probe itself has none.
// req: P-12, P-13
func TestHost(t *testing.T) {
	say := func(id string, v Verdict) Host {
		return func(_ context.Context, which string) (Verdict, bool) { return v, which == id }
	}
	for _, c := range []struct {
		id   string
		says Verdict
		want Verdict
	}{{"P-13", Bad, Bad}, {"P-13", OK, OK}, {"P-12", Bad, Bad}, {"P-14", Bad, Bad}, {"P-01", Bad, Bad}, {"P-13", "rooted", Unknown}} {
		list := Run(context.Background(), server(), Options{Level: 2, Host: say(c.id, c.says)})
		if f := of(list, c.id); f.Verdict != c.want {
			t.Errorf("%s says %s: %s", c.id, c.says, f.Verdict)
		}
	}
	s := server()
	put("proc/self/status", "TracerPid:\t9\n")(s)
	if f := of(Run(context.Background(), s, Options{Host: say("P-01", OK)}), "P-01"); f.Verdict != Bad {
		t.Error("the host talks a debugger away")
	}
	list := Run(context.Background(), server(), Options{Level: 2, Host: say("P-13", Unknown)})
	if Check(list, 2) == nil || Check(list, 1) != nil {
		t.Error("unknown must block at level 2 only")
	}
}

func TestForces(t *testing.T) {
	force := map[string]string{"P-01": "advisory", "P-11": "mandatory"}
	for level, want := range map[uint32][2]bool{1: {false, true}, 2: {true, false}} {
		list := Run(context.Background(), server(), Options{Level: level, Forces: force})
		if got := [2]bool{of(list, "P-01").Mandatory, of(list, "P-11").Mandatory}; got != want {
			t.Errorf("level %d: mandatory %v, want %v", level, got, want)
		}
	}
}
