package link

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/keposs/keposs/core"
)

// maxPath is the longest path a socket address takes on Linux.
const maxPath = 107

// reach runs do with a path to the socket that fits an address: the path
// itself, or one through the folder's descriptor.
func reach(path string, do func(path string) error) error {
	if len(path) <= maxPath {
		return do(path)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return do(filepath.Join("/proc/self/fd", strconv.Itoa(int(dir.Fd())), filepath.Base(path)))
}

// Listen makes the socket path with mode 0600 in a folder nobody else may
// enter, in place of one that a killed agent left. The caller knows that no
// other agent serves there.
func Listen(path string) (*net.UnixListener, error) {
	const op = "client: agent"
	st, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return nil, core.Errorf(core.Environment, op, "socket: %w", err)
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); !ok || st.Mode().Perm()&0o077 != 0 || int(sys.Uid) != os.Getuid() {
		return nil, core.Errorf(core.Integrity, op, "the folder of the socket %s belongs to somebody else or may be entered by others: chmod 0700 it, or name another socket", path)
	}
	if st, err := os.Lstat(path); err == nil && st.Mode()&fs.ModeSocket == 0 {
		return nil, core.Errorf(core.Conflict, op, "%s is there and no socket", path)
	}
	var l *net.UnixListener
	err = reach(path, func(path string) error {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		var err error
		l, err = net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		return err
	})
	if err != nil {
		return nil, core.Errorf(core.Environment, op, "listen on %s: %w", path, err)
	}
	l.SetUnlinkOnClose(false) // its own path may be one through a descriptor that is gone
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(core.Errorf(core.Environment, op, "%w", err), l.Close())
	}
	return l, nil
}

// Dial connects to the agent at path and checks that it runs as this user, so
// that no one else's process is given a sample. NotFound when nobody listens.
func Dial(ctx context.Context, path string) (*Conn, error) {
	const op = "client: agent"
	var conn net.Conn
	err := reach(path, func(path string) (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, "unix", path)
		return err
	})
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ECONNREFUSED):
		return nil, core.Errorf(core.NotFound, op, "no agent listens on %s: start `keposs agent`", path)
	case errors.Is(err, fs.ErrPermission):
		return nil, core.Errorf(core.Refused, op, "the agent on %s is another user's", path)
	case err != nil:
		return nil, core.Errorf(core.Unavailable, op, "%s: %w", path, err)
	}
	p, err := PeerOf(conn)
	if err == nil && p.UID != os.Geteuid() {
		err = core.Errorf(core.Refused, op, "the agent on %s runs as user %d, want %d", path, p.UID, os.Geteuid())
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &Conn{Conn: conn}, nil
}

// A Peer is who is at the other end, by the kernel's word.
type Peer struct{ PID, UID int }

// PeerOf asks the kernel who made the connection (SO_PEERCRED).
func PeerOf(c net.Conn) (p Peer, err error) {
	const op = "client: agent"
	u, ok := c.(*net.UnixConn)
	if !ok {
		return p, core.Errorf(core.Internal, op, "no Unix socket")
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return p, core.Errorf(core.Internal, op, "%w", err)
	}
	var cred *unix.Ucred
	var cerr error
	if err = raw.Control(func(fd uintptr) { cred, cerr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err == nil {
		err = cerr
	}
	if err != nil {
		return p, core.Errorf(core.Environment, op, "the kernel does not tell who connected: %w", err)
	}
	return Peer{PID: int(cred.Pid), UID: int(cred.Uid)}, nil
}
