//go:build linux

package etcdserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/keposs/keposs/internal/child"
)

// A Cluster is a number of members, each a process in a group of its own with
// a folder of its own. Its methods are for one caller at a time.
type Cluster struct {
	members []*member
	dir     string
}

type member struct {
	args         []string
	client, peer string         // host:port
	proc         *child.Process // nil = it does not run
	still        bool
}

// Start runs a cluster of n members and returns when it serves. The server's
// standard durability is on. Stop ends it.
func Start(ctx context.Context, n int) (*Cluster, error) {
	bin, err := Build(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "keposs-etcd-")
	if err != nil {
		return nil, err
	}
	c := &Cluster{dir: dir}
	var peers []string
	for i := range n {
		m := &member{}
		if m.client, m.peer, err = twoPorts(); err != nil {
			c.Stop()
			return nil, err
		}
		c.members = append(c.members, m)
		peers = append(peers, fmt.Sprintf("m%d=http://%s", i, m.peer))
	}
	for i, m := range c.members {
		m.args = []string{bin, "--name", fmt.Sprintf("m%d", i), "--data-dir", filepath.Join(dir, fmt.Sprint(i)),
			"--listen-client-urls", "http://" + m.client, "--advertise-client-urls", "http://" + m.client,
			"--listen-peer-urls", "http://" + m.peer, "--initial-advertise-peer-urls", "http://" + m.peer,
			"--initial-cluster", strings.Join(peers, ","), "--initial-cluster-token", filepath.Base(dir),
			"--log-level", "error", "--log-outputs", filepath.Join(dir, fmt.Sprintf("%d.log", i)),
			"--heartbeat-interval", "100", "--election-timeout", "1000"}
		if err := c.Run(i); err != nil {
			c.Stop()
			return nil, err
		}
	}
	for i := range n {
		if err := c.Ready(ctx, i); err != nil {
			c.Stop()
			return nil, err
		}
	}
	return c, nil
}

// twoPorts finds free loopback ports. Another process may take them before the
// member does; it then ends, and Start says so.
func twoPorts() (a, b string, err error) {
	var l [2]net.Listener
	for i := range l {
		if l[i], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return "", "", err
		}
		defer func() { _ = l[i].Close() }()
	}
	return l[0].Addr().String(), l[1].Addr().String(), nil
}

// Endpoints are the client addresses, host:port, in order of the members.
func (c *Cluster) Endpoints() []string {
	out := make([]string, len(c.members))
	for i, m := range c.members {
		out[i] = m.client
	}
	return out
}

// Run starts member i, again after Kill.
func (c *Cluster) Run(i int) (err error) {
	m := c.members[i]
	m.proc, err = child.Start(exec.Command(m.args[0], m.args[1:]...), nil)
	return err
}

// patience is how long a member may take to answer on a machine that has other
// work: at load 30 it took more than a minute.
const patience = 5 * time.Minute

// Ready waits until member i, which runs, answers a linearizable read.
func (c *Cluster) Ready(ctx context.Context, i int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cl, err := c.dial(i)
	if err != nil {
		return err
	}
	defer func() { _ = cl.Close() }()
	for {
		try, cancel := context.WithTimeout(ctx, time.Second)
		_, err := cl.Get(try, "-")
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-c.members[i].proc.Ended:
			log, _ := os.ReadFile(filepath.Join(c.dir, fmt.Sprintf("%d.log", i)))
			return fmt.Errorf("etcd member %d ended: %.400s", i, log)
		case <-ctx.Done():
			return fmt.Errorf("etcd member %d does not answer: %w", i, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (c *Cluster) dial(i int) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: []string{"http://" + c.members[i].client}, Logger: zap.NewNop(), DialTimeout: 5 * time.Second})
}

// Delete removes every key under a prefix.
func (c *Cluster) Delete(ctx context.Context, prefix string) error {
	cl, err := c.dial(0)
	if err != nil {
		return err
	}
	defer func() { _ = cl.Close() }()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	_, err = cl.Delete(ctx, prefix, clientv3.WithPrefix())
	return err
}

// Leader is the member that leads; while none does, it waits for the election.
func (c *Cluster) Leader(ctx context.Context) (lead int, err error) {
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		if lead, err = c.leader(ctx); err == nil || ctx.Err() != nil || time.Now().After(end) {
			return lead, err
		}
	}
}

func (c *Cluster) leader(ctx context.Context) (int, error) {
	for i, m := range c.members {
		if m.proc == nil || m.still {
			continue
		}
		cl, err := c.dial(i)
		if err != nil {
			return 0, err
		}
		try, cancel := context.WithTimeout(ctx, 2*time.Second)
		s, err := cl.Status(try, "http://"+m.client)
		cancel()
		_ = cl.Close()
		if err == nil && s.Leader == s.Header.MemberId {
			return i, nil
		}
	}
	return 0, errors.New("no member of the etcd cluster leads")
}

// Kill ends member i at once, as a crash would.
func (c *Cluster) Kill(i int) {
	if m := c.members[i]; m.proc != nil {
		m.proc.End(syscall.SIGKILL)
		m.proc, m.still = nil, false
	}
}

// Pause makes member i stand still without ending it, Resume lets it go on: its
// connections stay and nothing answers.
func (c *Cluster) Pause(i int) {
	if m := c.members[i]; m.proc != nil {
		m.proc.Halt()
		m.still = true
	}
}

// Resume undoes Pause.
func (c *Cluster) Resume(i int) {
	if m := c.members[i]; m.proc != nil {
		m.proc.Signal(syscall.SIGCONT)
		m.still = false
	}
}

// KillLeader kills the member that leads and brings it back after 3 s.
func (c *Cluster) KillLeader(ctx context.Context) error {
	lead, err := c.Leader(ctx)
	if err != nil {
		return err
	}
	c.Kill(lead)
	time.Sleep(3 * time.Second)
	return errors.Join(c.Run(lead), c.Ready(ctx, lead))
}

// PauseLeader has the member that leads stand still, with all its connections,
// for 4 s: until another one leads.
func (c *Cluster) PauseLeader(ctx context.Context) error {
	lead, err := c.Leader(ctx)
	if err != nil {
		return err
	}
	c.Pause(lead)
	time.Sleep(4 * time.Second)
	c.Resume(lead)
	return c.Ready(ctx, lead)
}

// Stop ends all members and removes their folders.
func (c *Cluster) Stop() {
	for i := range c.members {
		c.Kill(i)
	}
	_ = os.RemoveAll(c.dir)
}
