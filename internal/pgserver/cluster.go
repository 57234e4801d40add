//go:build linux

package pgserver

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/keposs/keposs/internal/child"
)

// A Cluster is a primary and its standbys, each a process in a group of its
// own with a folder of its own that holds its socket and its data. Its methods
// are for one caller at a time.
type Cluster struct {
	Options
	bin, dir string
	as       *syscall.Credential
	nodes    []*node
	primary  int
}

type node struct {
	dir, data string
	port      int // on 127.0.0.1; 0 = the socket only
	proc      *child.Process
}

// Start runs a primary and so many standbys, with fsync on. With standbys a
// commit is acknowledged once any one of them has it on disk. Stop ends all.
func Start(ctx context.Context, standbys int) (*Cluster, error) {
	return StartWith(ctx, Options{Standbys: standbys})
}

// StartWith is Start with options.
func StartWith(ctx context.Context, o Options) (*Cluster, error) {
	c := &Cluster{Options: o, bin: programs()}
	if c.bin == "" {
		return nil, fmt.Errorf("%w: neither /usr/lib/postgresql/*/bin nor the path has initdb and postgres", ErrAbsent)
	}
	var err error
	if c.dir, err = os.MkdirTemp("", "keposs-pg-"); err != nil {
		return nil, err
	}
	if os.Getuid() == 0 {
		if c.as = servant(); c.as == nil {
			_ = os.RemoveAll(c.dir)
			return nil, fmt.Errorf("%w: running as root, and there is no user postgres to run the server as", ErrAbsent)
		}
	}
	if err := c.start(ctx); err != nil {
		c.Stop()
		return nil, err
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context) error {
	if err := c.own(c.dir); err != nil {
		return err
	}
	for i := range c.Standbys + 1 {
		n := &node{dir: filepath.Join(c.dir, fmt.Sprint(i))}
		n.data = filepath.Join(n.dir, "data")
		c.nodes = append(c.nodes, n)
		if err := os.Mkdir(n.dir, 0o700); err != nil {
			return err
		}
		if err := c.own(n.dir); err != nil {
			return err
		}
	}
	if err := c.do("initdb", "-D", c.nodes[0].data, "-U", "postgres", "-A", "trust", "--no-locale", "-E", "UTF8", "--no-sync"); err != nil {
		return err
	}
	if err := c.certify(); err != nil {
		return err
	}
	if err := c.serve(ctx, 0); err != nil {
		return err
	}
	for i := 1; i <= c.Standbys; i++ {
		if err := c.follow(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) own(dir string) error {
	if c.as == nil {
		return nil
	}
	return os.Chown(dir, int(c.as.Uid), int(c.as.Gid))
}

// serve starts node i's server over the data it has.
func (c *Cluster) serve(ctx context.Context, i int) error {
	n, names := c.nodes[i], ""
	if len(c.nodes) > 1 {
		list := make([]string, len(c.nodes))
		for j := range list {
			list[j] = fmt.Sprint("n", j)
		}
		names = "ANY 1 (" + strings.Join(list, ",") + ")"
	}
	listen, err := c.listen(n)
	if err != nil {
		return err
	}
	n.proc, err = c.run("postgres", append(listen, "-D", n.data, "-k", n.dir, "-c", "fsync=on",
		"-c", "shared_buffers="+cmp.Or(c.Buffers, "32MB"), "-c", "max_connections=200", "-c", "deadlock_timeout=50ms", "-c", "wal_keep_size=128MB",
		"-c", fmt.Sprint("cluster_name=n", i), "-c", "synchronous_standby_names="+names, "-c", "wal_retrieve_retry_interval=200ms")...)
	if err != nil {
		return err
	}
	return c.up(ctx, i)
}

// follow makes node i a fresh standby of the primary and starts it.
func (c *Cluster) follow(ctx context.Context, i int) error {
	n := c.nodes[i]
	if err := os.RemoveAll(n.data); err != nil {
		return err
	}
	if err := c.do("pg_basebackup", "-D", n.data, "-d", c.conninfo(c.primary), "-R", "--checkpoint=fast", "--no-sync", "-X", "stream"); err != nil {
		return err
	}
	return c.serve(ctx, i)
}

func (c *Cluster) conninfo(i int) string {
	return fmt.Sprintf("host=%s port=%d user=postgres", c.nodes[i].dir, c.nodes[i].named())
}

// DSN is the connection string of the whole cluster: whoever takes writes.
func (c *Cluster) DSN() string {
	hosts, ports := make([]string, len(c.nodes)), make([]string, len(c.nodes))
	for i, n := range c.nodes {
		hosts[i], ports[i] = n.dir, fmt.Sprint(n.named())
	}
	return "host=" + strings.Join(hosts, ",") + " port=" + strings.Join(ports, ",") + " user=postgres dbname=postgres"
}

// Exec runs a statement on node i and returns the first column of its first row as text.
func (c *Cluster) Exec(ctx context.Context, i int, sql string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.conninfo(i)+" dbname=postgres")
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close(ctx) }()
	rows, err := conn.Query(ctx, sql, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		return "", err
	}
	var out string
	if rows.Next() {
		if v, err := rows.Values(); err == nil && len(v) > 0 {
			out = fmt.Sprint(v[0])
		}
	}
	rows.Close()
	return out, rows.Err()
}

// Kill ends node i at once, as a crash would.
func (c *Cluster) Kill(i int) {
	if p := c.nodes[i].proc; p != nil {
		p.End(syscall.SIGKILL)
		c.nodes[i].proc = nil
	}
}

// PausePrimary has all processes of the primary stand still, with all its
// connections, for 4 s. Nobody is promoted meanwhile.
func (c *Cluster) PausePrimary() error {
	p := c.nodes[c.primary].proc
	if p == nil {
		return fmt.Errorf("the primary does not run")
	}
	still, err := p.HaltAll()
	time.Sleep(4 * time.Second)
	for _, pid := range still {
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
	return err
}

// Run starts node i again over the data it has.
func (c *Cluster) Run(ctx context.Context, i int) error { return c.serve(ctx, i) }

// Failover kills the primary, promotes the standby that has received most, has
// the others follow it and returns. The killed one is then made a fresh standby
// by Rejoin: what it wrote and nobody received is gone, as it was never
// acknowledged.
func (c *Cluster) Failover(ctx context.Context) (killed int, err error) {
	killed = c.primary
	c.Kill(killed)
	best := -1
	for i, n := range c.nodes {
		if i == killed || n.proc == nil {
			continue
		}
		if best >= 0 {
			ahead, err := c.Exec(ctx, i, "select pg_last_wal_receive_lsn() > '"+c.received(ctx, best)+"'::pg_lsn")
			if err != nil {
				return killed, err
			}
			if ahead != "true" {
				continue
			}
		}
		best = i
	}
	if best < 0 {
		return killed, fmt.Errorf("no standby is left to promote")
	}
	if _, err := c.Exec(ctx, best, "select pg_promote(true, 30)"); err != nil {
		return killed, err
	}
	c.primary = best
	for i, n := range c.nodes {
		if i == best || n.proc == nil {
			continue
		}
		if _, err := c.Exec(ctx, i, "alter system set primary_conninfo = '"+c.conninfo(best)+"'"); err != nil {
			return killed, err
		}
		if _, err := c.Exec(ctx, i, "select pg_reload_conf()"); err != nil {
			return killed, err
		}
	}
	return killed, nil
}

func (c *Cluster) received(ctx context.Context, i int) string {
	lsn, err := c.Exec(ctx, i, "select pg_last_wal_receive_lsn()::text")
	if err != nil || lsn == "" {
		return "0/0"
	}
	return lsn
}

// Rejoin makes node i a fresh standby of the primary.
func (c *Cluster) Rejoin(ctx context.Context, i int) error { return c.follow(ctx, i) }

// Stop ends all servers and removes their folders.
func (c *Cluster) Stop() {
	for _, n := range c.nodes {
		if n.proc != nil {
			n.proc.End(syscall.SIGQUIT)
			n.proc = nil
		}
	}
	_ = os.RemoveAll(c.dir)
}
