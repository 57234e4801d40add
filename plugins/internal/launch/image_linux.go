package launch

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// selfPath names the running image itself, also after its file was replaced.
func selfPath(string) string { return "/proc/self/exe" }

func executable(m fs.FileMode) bool { return m.Perm()&0o111 != 0 }

// take copies r into a memory file, which is then sealed against every change.
func (i *Image) take(r io.Reader, name string) error {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate("keposs-"+name, flags|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3
		fd, err = unix.MemfdCreate("keposs-"+name, flags)
	}
	if err != nil {
		return err
	}
	w := os.NewFile(uintptr(fd), "keposs-"+name)
	defer w.Close()
	if _, err := io.Copy(w, r); err != nil {
		return err
	}
	if err := w.Chmod(0o500); err != nil {
		return err
	}
	if err := seal(w); err != nil {
		return err
	}
	i.file, err = os.Open("/proc/self/fd/" + strconv.Itoa(fd))
	runtime.KeepAlive(w)
	return err
}

// seal forbids every change of f. The kernel waits 150 ms at most for whoever
// holds one of f's pages and then refuses with EBUSY; on a busy machine that
// may be reclaim, so it is asked again until a start would have timed out.
func seal(f *os.File) error {
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	for end := time.Now().Add(Timeout); ; {
		_, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals)
		if !errors.Is(err, unix.EBUSY) || time.Now().After(end) {
			return err
		}
		time.Sleep(time.Millisecond)
	}
}

// prepare makes cmd execute the sealed copy, or the private one: the former is descriptor 3 of the child,
// which stays open because the interpreter of a script reads it again.
func (i *Image) prepare(cmd *exec.Cmd) error {
	cmd.Path = i.Path
	if !i.Weak {
		cmd.ExtraFiles = []*os.File{i.file}
		cmd.Path = "/proc/self/fd/3"
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	return nil
}

// starts runs on one thread that never ends: the kernel sends Pdeathsig when
// the thread that forked is gone, not the process.
var starts = func() chan func() {
	c := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range c {
			f()
		}
	}()
	return c
}()

// start forks cmd, into a control group of its own where that can be had. end
// ends what the process left behind; it is called while the process's id is
// still its own, and is never nil. A confined process is forked by a thread of
// its own, which is confined with it and ends after it.
func start(cmd *exec.Cmd, name string, c *confinement) (end func(), err error) {
	h := pids()
	var g *group
	if h != nil {
		if g, err = h.make(name); err != nil {
			g = nil // a limit is a second line of defence: without it the process group is ended
		}
	}
	if g != nil && g.v2 {
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(g.fd.Fd())
	}
	failed, over := make(chan error, 1), make(chan struct{})
	if c == nil {
		starts <- func() {
			if g != nil && !g.v2 {
				if g.enter() == nil {
					defer h.leave()
				}
			}
			failed <- cmd.Start()
		}
	} else {
		go aside(func() {
			if g != nil && !g.v2 {
				_ = g.enter()
			}
			err := c.apply()
			if err == nil {
				err = cmd.Start()
			}
			failed <- err
			<-over // not before its child: the parent-death signal comes with the thread
		})
	}
	if err := <-failed; err != nil {
		close(over)
		if g != nil {
			g.end()
		}
		return func() {}, err
	}
	return func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		close(over)
		if g != nil {
			g.end()
		}
	}, nil
}

// aside runs f on a thread that ends with it and is not the process's first:
// that one stands for the process, to the kernel and to whoever signals it.
func aside(f func()) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		elsewhere := make(chan struct{})
		go func() { // while this one holds the first thread
			runtime.LockOSThread()
			close(elsewhere)
			f()
		}()
		<-elsewhere
		runtime.UnlockOSThread()
		return
	}
	f() // still locked at its end, so that the thread ends
}

// exited waits until the process is gone but not reaped: its id, and that of
// its process group, cannot be another's yet.
func exited(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// kill ends the process and what it started.
func kill(p *os.Process) error {
	if err := syscall.Kill(-p.Pid, syscall.SIGKILL); err == nil {
		return nil
	}
	return p.Kill()
}
