package mstcc

import (
	"bytes"
	"context"
	"errors"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mf"
	"github.com/keposs/keposs/core/policy"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
)

// NewSheet asks for a recovery sheet. The person sees it before anything is
// stored: a sheet nobody has seen must not be a holder of the anchor.
type NewSheet struct {
	Code     *mf.RecoveryCode // fresh; lent for the call
	Endpoint string           // of SS-CC, as the sheet shall name it
	// Show shows the sheet (lent) and returns when the person confirmed to have
	// it. An error ends the service; nothing is stored then.
	Show func(ctx context.Context, s *mf.Sheet) error
}

func (n *NewSheet) check() error {
	if n != nil && (n.Code == nil || n.Show == nil || n.Endpoint == "" || len(n.Endpoint) > mf.MaxEndpoint) {
		return core.Errorf(core.Usage, "mstcc: recovery sheet", "want a fresh code, SS-CC's endpoint and a way to show the sheet")
	}
	return nil
}

// showSheet shows the sheet of a sealed generation.
func (m *Module) showSheet(ctx context.Context, n *NewSheet, user protocol.ID, sealed *mf.Sealed) error {
	if n == nil {
		return nil
	}
	s, err := mf.NewSheet(n.Code, sealed.Policy, user, m.cfg.Binding.Realm, m.cfg.Binding.Server.Compressed(), n.Endpoint, m.profile.approved)
	if err != nil {
		return err
	}
	defer s.Wipe()
	return n.Show(ctx, s)
}

// AddRecovery makes a recovery code a holder of the anchor: possible with
// either root, touching nothing but the anchor; the count and, in hardened
// mode, the OPRF key stay. Conflict is the code when there is a recovery code
// already: its paper would keep working, so a new one is a revoke.
// req: K-17.1-D1
func (m *Module) AddRecovery(ctx context.Context, n NewSheet, o OpenOptions, p core.Prompter) (*Changed, error) {
	if err := n.check(); err != nil {
		return nil, err
	}
	return m.transact(ctx, "recovery", o, p, func(a *attempt) (_ *generation, err error) {
		g := newGeneration(nil, m.cfg.Device, m.trust.Floor)
		g.approved = a.approved
		done := false
		defer unless(&done, g.wipe)
		if g.sealed, err = a.opened.AddRecovery(n.Code, a.checked.Slot.Secret, m.cfg.Rand); err != nil {
			return nil, err
		}
		g.sealed.Blob = bytes.Clone(a.sealed)
		m.step(6, "recovery code added to the anchor")
		err = m.showSheet(ctx, &n, a.user, g.sealed)
		done = err == nil
		return g, err
	})
}

// RevokeRequest describes the generation a revoke starts. The zero value keeps
// tree, cost and mode, and leaves no recovery code.
type RevokeRequest struct {
	Tree   *policy.Tree                 // nil = keep
	Root   mf.Root                      // RootUnknown = direct for one set, else wrapped
	KDF    *core.Params                 // the same KDF; nil = keep
	Mode   protocol.Mode                // ModeUnknown = keep; plain may become hardened, never the other way
	Sheet  *NewSheet                    // the new recovery code; nil = none afterwards
	Params map[string]map[string]string // by label: what a source's enrolment takes
}

// Revoke starts a new generation of everything but the user's own key pairs:
// anchor, device secret, device key, recovery code, every salt, every factor
// captured again; SS-CC destroys the old record. It protects against whoever
// has this terminal's disk, the old sheet, or an old factor, but not against an
// SS-CC or a thief that kept the old record: against those only a new key pair
// does. It is one transaction, as Change is.
// req: K-17.1-D1
func (m *Module) Revoke(ctx context.Context, req RevokeRequest, o OpenOptions, p core.Prompter) (*Changed, error) {
	if err := req.Sheet.check(); err != nil {
		return nil, err
	}
	out, err := m.transact(ctx, "revoke", o, p, func(a *attempt) (*generation, error) {
		if req.KDF != nil && req.KDF.Name != m.trust.Floor.Name {
			return nil, core.Errorf(core.Unsupported, "mstcc: revoke", "the key was made with kdf %s; another kdf takes a new initialisation", m.trust.Floor.Name)
		}
		device, err := m.newDeviceKey(ctx)
		if err != nil {
			return nil, err
		}
		g, err := m.revokeGeneration(ctx, a, req, device, p)
		if err == nil {
			g.rotates = true
		}
		return g, err
	})
	return out, errors.Join(err, m.dropUnusedDeviceKey(ctx))
}

// dropUnusedDeviceKey deletes the device key of a revoke that stored nothing.
func (m *Module) dropUnusedDeviceKey(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.trust == nil || m.trust.Pending != nil {
		return nil
	}
	return m.cfg.Keys.Delete(ctx, DeviceKeyName(2))
}

// revokeGeneration captures every factor again and seals the user's keys under
// a new RK.
func (m *Module) revokeGeneration(ctx context.Context, a *attempt, req RevokeRequest, device sm.PublicKey, p core.Prompter) (*generation, error) {
	const op = "mstcc: revoke"
	old := a.checked.Policy
	ir := InitRequest{Tree: old.Tree, Root: req.Root, KDF: old.KDF, Params: req.Params}
	if req.Tree != nil {
		ir.Tree = req.Tree
	}
	if req.KDF != nil {
		ir.KDF = *req.KDF
	}
	if req.Sheet != nil {
		ir.Recovery = req.Sheet.Code
	}
	mode := req.Mode
	if mode == protocol.ModeUnknown {
		mode = old.Escrow.Mode
	}
	if mode == protocol.ModeHardened && m.cfg.OPRF == nil {
		return nil, core.Errorf(core.Unsupported, op, "this build has no OPRF: hardened mode is not possible")
	}
	if err := m.profile.costs(ir.KDF); err != nil {
		return nil, err
	}
	bundle, err := a.opened.OpenBlob(a.sealed)
	if err != nil {
		return nil, err
	}
	defer bundle.Wipe()
	begin := func(x mf.Params) (*mf.Enrolment, error) { return a.opened.Revoke(x, m.cfg.Rand) }
	g, err := m.enrolGeneration(ctx, ir, mode, device, begin, p, bundle)
	if err != nil {
		return nil, err
	}
	if err := m.showSheet(ctx, req.Sheet, a.user, g.sealed); err != nil {
		g.wipe()
		return nil, err
	}
	return g, nil
}
