package client

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/keposs/keposs/internal/memscan"
)

// wireMarker is sent over the loopback device by its listener: the control.
const wireMarker = "keposs loopback control 7351"

// maxHeard bounds what listen keeps of other programs' traffic, so that a busy
// machine does not fill the memory.
const maxHeard = 64 << 20

// ours reports whether a captured frame goes to or comes from a TCP port, or is
// the control.
func ours(frame []byte, port int) bool {
	const ip, tcp = 14, 34 // after the Ethernet header and an IPv4 header without options
	if len(frame) >= tcp+4 && frame[ip] == 0x45 && frame[ip+9] == unix.IPPROTO_TCP {
		from, to := binary.BigEndian.Uint16(frame[tcp:]), binary.BigEndian.Uint16(frame[tcp+2:])
		return int(from) == port || int(to) == port
	}
	return bytes.HasSuffix(frame, []byte(wireMarker))
}

// capNetRaw reports whether this process may capture packets.
func capNetRaw(t *testing.T) bool {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(b), "CapEff:")
	line, _, _ := strings.Cut(strings.TrimSpace(rest), "\n")
	mask, err := strconv.ParseUint(line, 16, 64)
	if !ok || err != nil {
		t.Fatalf("the kernel tells no capabilities: %q, %v", line, err)
	}
	return mask&(1<<unix.CAP_NET_RAW) != 0
}

// listen captures what crosses the loopback device, to and from SS-CC at
// endpoint without bound, until the function it returns is called; that also
// counts the packets to and from SS-CC. It is nil where capturing is not allowed.
func listen(t *testing.T, endpoint string) func() (heard []byte, packets int) {
	t.Helper()
	_, text, err := net.SplitHostPort(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	if !capNetRaw(t) {
		return nil
	}
	all := uint16(unix.ETH_P_ALL)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(all<<8|all>>8))
	if err != nil {
		t.Fatal(err)
	}
	lo, err := net.InterfaceByName("lo")
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all<<8 | all>>8, Ifindex: lo.Index})
	}
	if err == nil {
		err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50_000})
	}
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 8<<20)
	}
	if err != nil {
		t.Fatal(err)
	}
	var heard bytes.Buffer
	var control atomic.Bool
	packets := 0
	stop := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		b := make([]byte, 1<<17)
		for {
			n, _, err := unix.Recvfrom(fd, b, 0)
			if err == nil {
				own := ours(b[:n], port)
				if bytes.HasSuffix(b[:n], []byte(wireMarker)) {
					control.Store(true)
				} else if own {
					packets++
				}
				if heard.Len() < maxHeard || own {
					heard.Write(b[:n])
				}
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	return func() ([]byte, int) {
		// Where others fill the kernel's buffer a packet may be lost: the control
		// is sent until it is heard.
		for range 300 {
			if c, err := net.Dial("udp", "127.0.0.1:9"); err == nil {
				_, _ = c.Write([]byte(wireMarker))
				_ = c.Close()
			}
			time.Sleep(100 * time.Millisecond)
			if control.Load() {
				break
			}
		}
		close(stop)
		done.Wait()
		_ = unix.Close(fd)
		return heard.Bytes(), packets
	}
}

// nowhere fails for every pattern in what was heard and said, in a file below
// dir, or in the environment or arguments of a process. The key store's files
// hold the device's own secrets, which are meant to be there.
func nowhere(t *testing.T, dir string, pids []int, texts map[string][]byte, patterns []memscan.Pattern) {
	t.Helper()
	for _, pid := range pids {
		for _, f := range []string{"environ", "cmdline"} {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, f))
			if err != nil {
				t.Error(err)
			}
			texts[fmt.Sprintf("%s of process %d", f, pid)] = b
		}
	}
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || filepath.Base(filepath.Dir(path)) == "keys" {
			return err
		}
		files++
		texts[path], err = os.ReadFile(path)
		return err
	})
	if err != nil || files < 1 {
		t.Errorf("%d files of the terminal were read: %v", files, err)
	}
	for what, b := range texts {
		for _, p := range patterns {
			if bytes.Contains(b, p.Bytes) {
				t.Errorf("%s stands in %s", p.Name, strings.TrimPrefix(what, dir))
			}
		}
	}
}
