// Package replica runs SS-CC as processes that can be killed, with terminals
// that sign over the network, for `keposs lab faults`.
package replica

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/keposs/keposs/cmd/keposs/internal/server"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/escrow/api"
)

const op = "lab faults"

// A Realm is an SS-CC set up in a folder. Close ends what runs and forgets the
// administrator's password, which no process but its own ever sees.
type Realm struct {
	dir      string
	password *secret.Buffer
	replicas []*Replica
}

// A Replica is a process that serves a realm, from a folder of its own.
type Replica struct {
	realm *Realm
	dir   string
	addr  string // kept over restarts: terminals remember it
	cmd   *exec.Cmd
	life  io.Closer
}

// New sets SS-CC up below dir over a backend with settings in TOML. Tries are
// throttled as late as a configuration can say.
func New(ctx context.Context, dir, backend, settings string) (*Realm, error) {
	password, err := secret.Read(sm.Rand(), 24)
	if err != nil {
		return nil, core.Errorf(core.Internal, op, "%w", err)
	}
	for i, b := range password.Bytes() {
		password.Bytes()[i] = 'a' + b%16
	}
	m := &Realm{dir: dir, password: password}
	r := m.replica("first")
	config := filepath.Join(dir, "settings.toml")
	err = errors.Join(os.MkdirAll(r.dir, 0o700), os.WriteFile(config, []byte(settings), 0o600))
	if err == nil {
		_, err = m.Keposs(ctx, r, "ss-cc", "init", "--backend", backend, "--config", config, "--password-fd", "3")
	}
	if err == nil {
		err = patient(filepath.Join(r.Folder(), "config.toml"))
	}
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// patient raises how many tries of one user are let through in a minute.
func patient(name string) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	return os.WriteFile(name, bytes.Replace(b, []byte("[limits]\n"), []byte("[limits]\ntries_per_minute = 255\n"), 1), 0o600)
}

func (m *Realm) replica(name string) *Replica {
	r := &Replica{realm: m, dir: filepath.Join(m.dir, name), addr: "127.0.0.1:0"}
	m.replicas = append(m.replicas, r)
	return r
}

// First is the replica that New set up.
func (m *Realm) First() *Replica { return m.replicas[0] }

// Another is one more replica over the same database, with a copy of what a
// first one's folder has of the realm.
func (m *Realm) Another() (*Replica, error) {
	r := m.replica("another")
	from, to := m.First().Folder(), r.Folder()
	for _, name := range []string{"config.toml", "realm.json", "tls/ca.pem", "tls/cert.pem", "tls/key.pem"} {
		b, err := os.ReadFile(filepath.Join(from, name))
		if err == nil {
			err = os.MkdirAll(filepath.Dir(filepath.Join(to, name)), 0o700)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), b, 0o600)
		}
		if err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Close ends all replicas.
func (m *Realm) Close() error {
	for _, r := range m.replicas {
		r.Stop()
	}
	m.password.Wipe()
	return nil
}

// command is this program on a replica's folder, with the administrator's
// password behind descriptor 3.
func (m *Realm) command(ctx context.Context, r *Replica, args ...string) (*exec.Cmd, func(), error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	in, out, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	_, err = out.Write(m.password.Bytes()) // it fits any pipe
	if err = errors.Join(err, out.Close()); err != nil {
		_ = in.Close()
		return nil, nil, err
	}
	cmd := exec.CommandContext(ctx, self, append(args, "--dir", r.dir)...)
	cmd.Args[0] = "keposs"
	cmd.ExtraFiles = []*os.File{in}
	return cmd, func() { _ = in.Close() }, nil
}

// Keposs runs a command of this program on a replica's folder and returns what
// it printed; its error has what it said against it.
func (m *Realm) Keposs(ctx context.Context, r *Replica, args ...string) (string, error) {
	cmd, done, err := m.command(ctx, r, args...)
	if err != nil {
		return "", err
	}
	defer done()
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	cmd.WaitDelay = time.Second // what a killed one started may hold its pipes for a moment
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("keposs %v: %w: %.300s", args[:2], err, bytes.TrimSpace(said.Bytes()))
	}
	return out.String(), nil
}

// Start serves, unsealed. The backend's process of one that was killed may hold
// its files for a moment.
func (r *Replica) Start(ctx context.Context) (err error) {
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		if err = r.serve(ctx); err == nil || time.Now().After(end) || ctx.Err() != nil {
			return err
		}
	}
}

func (r *Replica) serve(ctx context.Context) error {
	cmd, done, err := r.realm.command(ctx, r, "ss-cc", "serve", "--listen", r.addr, "--json", "--until-stdin-ends", "--unseal-fd", "3", "--log", "error")
	if err != nil {
		return err
	}
	defer done()
	var said bytes.Buffer
	cmd.Stderr = &said
	cmd.WaitDelay = time.Second
	life, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	var ready struct{ Listening, State string }
	err = json.NewDecoder(out).Decode(&ready)
	if err == nil && ready.State != "SERVING" {
		err = fmt.Errorf("its state is %q", ready.State)
	}
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return fmt.Errorf("ss-cc serve: %w: %.300s", err, said.Bytes())
	}
	r.cmd, r.life, r.addr = cmd, life, ready.Listening
	return nil
}

// Kill ends the process at once.
func (r *Replica) Kill() {
	if r.cmd != nil {
		_ = r.cmd.Process.Kill()
		r.Stop()
	}
}

// Stop lets the process end in order, and reaps it.
func (r *Replica) Stop() {
	if r.cmd == nil {
		return
	}
	_ = r.life.Close()
	late := time.AfterFunc(30*time.Second, func() { _ = r.cmd.Process.Kill() })
	defer late.Stop()
	_ = r.cmd.Wait()
	r.cmd = nil
}

// As does something in a session of the administrator.
func (r *Replica) As(ctx context.Context, do func(*api.Admin) error) error {
	ca, err := r.authority()
	if err != nil {
		return err
	}
	a, err := api.DialAdmin(ctx, r.addr, ca)
	if err != nil {
		return err
	}
	defer func() { _ = a.Close() }()
	if err := a.Login(ctx, r.realm.password); err != nil {
		return err
	}
	return errors.Join(do(a), a.Logout(ctx))
}

// authority vouches for the replica's certificate, in PEM.
func (r *Replica) authority() (string, error) {
	_, ca, err := server.Folder(r.Folder()).Find(op)
	return ca, err
}

// Folder is that of SS-CC.
func (r *Replica) Folder() string { return filepath.Join(r.dir, "ss-cc") }
