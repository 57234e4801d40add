package thief

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/keposs/keposs/client"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mf"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/core/sscc"
	"github.com/keposs/keposs/escrow/api"
)

// attack runs one case.
func (s *site) attack(ctx context.Context, m protocol.Mode, who string, space int) (c Case, err error) {
	c = Case{Mode: m.String(), Attacker: who}
	l, err := s.loot(ctx, m)
	if err != nil {
		return c, err
	}
	defer l.wipe()
	began := time.Now()
	defer func() { c.Seconds = time.Since(began).Seconds() }()
	x := &search{space: space}
	switch who {
	case ThiefDatabase:
		if err := s.sealed(ctx, l); err != nil {
			return c, err
		}
		fallthrough
	case Thief:
		return c, s.online(ctx, l, x, &c)
	case Operator:
		// The terminal is not there: its secret is 32 bytes nobody knows.
		l.secret.Wipe()
		if l.secret, err = secret.Read(sm.Rand(), mf.DeviceSecret); err != nil {
			return c, core.Errorf(core.Internal, "lab thief", "%w", err)
		}
	}
	if err := s.unsealed(ctx, l, x); err != nil {
		return c, err
	}
	defer x.key.Wipe()
	return c, x.offline(ctx, &c)
}

// A loot is what lies in the terminal's folder. Binding and user id are known
// to the operator too.
type loot struct {
	binding client.Binding
	server  sm.PublicKey
	key     *sm.PrivateKey
	secret  *secret.Buffer // opens the anchor
	user    protocol.ID
}

func (l *loot) wipe() {
	l.key.Wipe()
	l.secret.Wipe()
}

// loot reads the stolen folder as any program can.
func (s *site) loot(ctx context.Context, m protocol.Mode) (_ *loot, err error) {
	const op = "lab thief: read the folder"
	dir := s.terminal(m)
	l := &loot{user: s.users[m]}
	defer func() {
		if err != nil {
			l.wipe()
		}
	}()
	b, err := os.ReadFile(filepath.Join(dir, "binding.json"))
	if err != nil {
		return nil, core.Errorf(core.Environment, op, "%w", err)
	}
	if err := json.Unmarshal(b, &l.binding); err != nil {
		return nil, core.Errorf(core.Integrity, op, "%w", err)
	}
	if l.server, err = sm.ParsePEM([]byte(l.binding.ServerKey)); err != nil {
		return nil, err
	}
	keys, err := mstcc.NewFileKeyStore(filepath.Join(dir, "keys"))
	if err != nil {
		return nil, err
	}
	d, err := keys.Load(ctx, mstcc.DeviceKeyName(1))
	if err != nil {
		return nil, err
	}
	defer d.Wipe()
	if l.key, err = sm.NewPrivateKey(d.Bytes()); err != nil {
		return nil, err
	}
	trust, err := os.ReadFile(filepath.Join(dir, "state", "trust"))
	if err != nil {
		return nil, core.Errorf(core.Environment, op, "%w", err)
	}
	slot, err := mf.TrustSlot(trust)
	if err != nil {
		return nil, err
	}
	l.secret, err = keys.Load(ctx, slot)
	return l, err
}

func (l *loot) peer() protocol.Peer {
	return protocol.Peer{App: l.binding.App, Device: l.binding.Device, Key: l.key.Public().Compressed()}
}

// sealed tries the stolen database without its password: SS-CC stays SEALED.
func (s *site) sealed(ctx context.Context, l *loot) error {
	c, err := openCenter(ctx, s.path(stolen), sscc.NewOPRF())
	if err != nil {
		return err
	}
	_, err = c.Policy(ctx, l.peer(), protocol.PolicyRequest{User: l.user})
	if err == nil {
		err = core.Errorf(core.Internal, "lab thief", "a sealed SS-CC answered")
	} else if core.CodeOf(err) == core.State {
		err = nil
	}
	return errors.Join(err, c.close())
}

// online asks the real SS-CC with the stolen device key: one Policy, which
// nobody counts, and in hardened mode an Evaluate for each guess.
func (s *site) online(ctx context.Context, l *loot, x *search, c *Case) error {
	conn, err := api.Dial(ctx, api.Peer{Endpoint: l.binding.Endpoint, CA: l.binding.CA, Realm: l.binding.Realm,
		App: l.binding.App, Device: l.binding.Device, Server: l.server, Key: l.key})
	if err != nil {
		return err
	}
	defer conn.Close()
	c.PolicyCalls++
	ans, err := conn.Policy(ctx, protocol.PolicyRequest{User: l.user})
	if err != nil {
		return err
	}
	if err := x.take(ans, l); err != nil {
		return err
	}
	if c.Mode == protocol.ModePlain.String() {
		return x.offline(ctx, c)
	}
	err = x.counted(ctx, c, func(in []byte) ([]byte, error) {
		var attempt protocol.ID
		if _, err := io.ReadFull(sm.Rand(), attempt[:]); err != nil {
			return nil, core.Errorf(core.Internal, "lab thief", "%w", err)
		}
		b, blinding, err := mstcc.NewOPRF().Blind(sm.Rand(), in)
		if err != nil {
			return nil, err
		}
		defer blinding.Wipe()
		e, err := conn.Evaluate(ctx, protocol.EvaluateRequest{User: l.user, Gen: ans.Gen, Attempt: attempt, Blinded: b})
		if err != nil {
			return nil, err
		}
		c.OnlineAnswers++
		return blinding.Finalize(e.Evaluated, *x.checked.Policy.Escrow.Realms[0].K, nil)
	})
	if err != nil {
		return err
	}
	// The next attacker begins anew: the administrator unlocks.
	return s.as(ctx, func(tok sscc.Token) error { return s.center.UnlockUser(ctx, tok, s.app, l.user) })
}

// unsealed is the operator at work on a copy: SS-CC unsealed with the real
// password, built so that it keeps the user's OPRF key when it loads it.
func (s *site) unsealed(ctx context.Context, l *loot, x *search) (err error) {
	keep := &keeper{OPRF: sscc.NewOPRF()}
	c, err := openCenter(ctx, s.path(stolen), keep)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	if err := c.Unseal(ctx, s.password); err != nil {
		return err
	}
	ans, err := c.Policy(ctx, l.peer(), protocol.PolicyRequest{User: l.user})
	if err != nil {
		return err
	}
	if err := x.take(ans, l); err != nil {
		return err
	}
	if x.checked.Policy.Escrow.Mode == protocol.ModePlain {
		return nil
	}
	var attempt protocol.ID
	if _, err := io.ReadFull(sm.Rand(), attempt[:]); err != nil {
		return core.Errorf(core.Internal, "lab thief", "%w", err)
	}
	if _, err := c.Evaluate(ctx, l.peer(), protocol.EvaluateRequest{User: l.user, Gen: ans.Gen, Attempt: attempt, Blinded: l.key.Public().Compressed()}); err != nil {
		return err
	}
	x.key = keep.key
	return nil
}

// A keeper is the suite with a memory.
type keeper struct {
	sscc.OPRF
	key *secret.Buffer
}

// Key implements sscc.OPRF.
func (k *keeper) Key(key []byte) (sscc.OPRFKey, error) {
	k.key.Wipe()
	k.key = secret.Copy(append([]byte(nil), key...))
	return k.OPRF.Key(key)
}
