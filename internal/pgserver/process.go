//go:build linux

package pgserver

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/keposs/keposs/internal/child"
)

// programs is the folder of initdb and postgres; "" = none.
func programs() string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) > 0 {
		return filepath.Dir(found[len(found)-1])
	}
	if p, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(p)
	}
	return ""
}

// servant is the user servers run as where this process is root, whom they refuse.
func servant() *syscall.Credential {
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// run starts one of the programs.
func (c *Cluster) run(name string, args ...string) (*child.Process, error) {
	cmd := exec.Command(filepath.Join(c.bin, name), args...)
	cmd.Dir = c.dir
	return child.Start(cmd, c.as)
}

func (c *Cluster) do(name string, args ...string) error {
	p, err := c.run(name, args...)
	if err != nil {
		return err
	}
	<-p.Ended
	if p.Err != nil {
		return fmt.Errorf("%s: %w", name, p.Err)
	}
	return nil
}

// patience is how long a server may take to be ready on a machine that has
// other work: at load 30 it took more than half a minute.
const patience = 5 * time.Minute

// up waits until the server of node i says that it is ready, as a primary or
// as a standby that answers.
func (c *Cluster) up(ctx context.Context, i int) error {
	n := c.nodes[i]
	state := filepath.Join(n.data, "postmaster.pid") // its last line is the server's state
	for end := time.Now().Add(patience); time.Now().Before(end); {
		b, _ := os.ReadFile(state)
		if s := string(b); strings.Contains(s, "\nready") || strings.Contains(s, "\nstandby") {
			return nil
		}
		select {
		case <-n.proc.Ended:
			return fmt.Errorf("postgres ended: %w", n.proc.Err)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return fmt.Errorf("postgres was not ready within %s", patience)
}
