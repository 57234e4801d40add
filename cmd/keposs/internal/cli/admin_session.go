package cli

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sscc"
	"github.com/keposs/keposs/escrow/api"
)

// target says which SS-CC a command speaks to: the one of the data folder, or
// another by its endpoint and certificate authority.
type target struct{ endpoint, ca string }

func (t *target) register(c *cobra.Command) {
	c.Flags().StringVar(&t.endpoint, "endpoint", "", "`host:port` of an SS-CC elsewhere (default the one of this data folder)")
	c.Flags().StringVar(&t.ca, "ca", "", "PEM `file` of its certificate authority, or system")
}

// place is where an SS-CC was found.
type place struct {
	Endpoint string `json:"endpoint"`
	Public   string `json:"public"` // for tickets
	CA       string `json:"ca"`     // PEM, or "system"
	pid      int
	backend  string
}

// find resolves the flags.
func (t *target) find(e *Env, op string) (p place, err error) {
	if t.endpoint == "" {
		if t.ca != "" {
			return p, usagef(op, "--ca belongs to --endpoint")
		}
		f, err := e.serverFolder()
		if err != nil {
			return p, err
		}
		l, ca, err := f.Find(op)
		return place{l.Endpoint, l.Public, ca, l.PID, l.Backend}, err
	}
	switch t.ca {
	case "":
		return p, usagef(op, "--endpoint wants --ca: a PEM file, or system; the certificate is always checked")
	case "system":
		return place{Endpoint: t.endpoint, Public: t.endpoint, CA: t.ca}, nil
	}
	pem, err := e.readInput(op, t.ca, 64<<10)
	return place{Endpoint: t.endpoint, Public: t.endpoint, CA: string(pem)}, err
}

// dial connects; the caller closes the connection.
func (t *target) dial(ctx context.Context, e *Env, op string) (*api.Admin, place, error) {
	p, err := t.find(e, op)
	if err != nil {
		return nil, p, err
	}
	a, err := api.DialAdmin(ctx, p.Endpoint, p.CA)
	return a, p, err
}

// reportState asks SS-CC for its state and prints it.
func (e *Env) reportState(ctx context.Context, a *api.Admin, p place) error {
	i, err := a.Info(ctx)
	if err != nil {
		return err
	}
	out := sealState{State: string(i.State), Realm: i.Realm.String(), Endpoint: p.Endpoint, PID: p.pid, Backend: p.backend, Identity: string(i.Identity.PEM())}
	if p.pid != 0 {
		e.claim(&out) // it runs here, by this configuration
	}
	return e.Report(out, func(w io.Writer) {
		fmt.Fprintf(w, "state    %s\nrealm    %s\nendpoint %s\n", out.State, out.Realm, out.Endpoint)
		out.printClaim(w)
		if out.PID != 0 {
			fmt.Fprintf(w, "process  %d, backend %s\n", out.PID, out.Backend)
		}
		if out.State == string(sscc.Sealed) {
			fmt.Fprintln(w, "next     `keposs ss-cc unseal`")
		}
	})
}

// sessionFile is the administrator's session: mode 0600, good for at most an
// hour, ended by logout. The token is a secret.
type sessionFile struct {
	Version int `json:"version"`
	place
	Token string `json:"token"` // hex
}

const sessionName = "session.json"

// sessionPath makes the folder with mode 0700.
func (e *Env) sessionPath(op string) (string, error) {
	l, err := e.Layout()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(l.Admin, 0o700); err != nil {
		return "", core.Errorf(core.Environment, op, "create %s: %w", l.Admin, err)
	}
	return filepath.Join(l.Admin, sessionName), nil
}

func (e *Env) saveSession(op string, p place, tok sscc.Token) error {
	path, err := e.sessionPath(op)
	if err != nil {
		return err
	}
	defer secret.Zero(tok[:])
	b, err := json.MarshalIndent(sessionFile{1, p, hex.EncodeToString(tok[:])}, "", "  ")
	if err != nil {
		return core.Errorf(core.Internal, op, "%w", err)
	}
	defer secret.Zero(b)
	return writeWhole(op, path, append(b, '\n'), 0o600)
}

// loadSession reads the session; State when there is none.
func (e *Env) loadSession(op string) (s sessionFile, tok sscc.Token, err error) {
	path, err := e.sessionPath(op)
	if err != nil {
		return s, tok, err
	}
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, tok, advise(core.Errorf(core.State, op, "no administrator is logged in here"), "run `keposs admin login`")
	}
	if err != nil {
		return s, tok, fileError(op, path, err)
	}
	if st.Mode().Perm()&0o077 != 0 && privateModes {
		return s, tok, advise(core.Errorf(core.Integrity, op, "%s may be read by others (mode %04o)", path, st.Mode().Perm()), "remove it and run `keposs admin login`")
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return s, tok, fileError(op, path, err)
	}
	defer secret.Zero(b)
	if err := json.Unmarshal(b, &s); err == nil && s.Version == 1 && len(s.Token) == 2*len(tok) {
		if _, err = hex.Decode(tok[:], []byte(s.Token)); err == nil {
			return s, tok, nil
		}
	}
	return s, tok, advise(core.Errorf(core.Corrupt, op, "%s is not a session", path), "run `keposs admin login`")
}

func (e *Env) forgetSession() error {
	path, err := e.sessionPath("admin")
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return core.Errorf(core.Environment, "admin", "%w", err)
	}
	return nil
}

// administrator is a connection with the session's rights.
type administrator struct {
	*api.Admin
	where place
}

// withAdmin runs do with the saved session and closes the connection.
// req: K-10.1-02, K-10.3-01
func (e *Env) withAdmin(ctx context.Context, op string, do func(context.Context, *administrator) error) error {
	s, tok, err := e.loadSession(op)
	if err != nil {
		return err
	}
	defer secret.Zero(tok[:])
	where := s.place
	// SS-CC of this folder may have been started again on another port.
	f, err := e.serverFolder()
	if err != nil {
		return err
	}
	if l, ca, err := f.Find(op); err == nil && ca == where.CA {
		where = place{l.Endpoint, l.Public, ca, l.PID, l.Backend}
	}
	a, err := api.DialAdmin(ctx, where.Endpoint, where.CA)
	if err != nil {
		return err
	}
	defer a.Close()
	a.SetToken(tok)
	err = do(ctx, &administrator{a, where})
	switch core.CodeOf(err) {
	case core.Auth:
		return advise(err, "run `keposs admin login`")
	case core.State:
		var h hint
		if !errors.As(err, &h) {
			return advise(err, "`keposs ss-cc status` shows whether SS-CC serves; a sealed one wants `keposs ss-cc unseal`")
		}
	}
	return err
}
