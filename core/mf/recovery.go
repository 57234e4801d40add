package mf

import (
	"io"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

// RecoveryHolder is the anchor holder's id of the recovery code.
const RecoveryHolder = "recovery"

// A RecoveryCode is 128 random bits that open the anchor and let a new device
// make counted tries. The factors are still needed: a code without them opens
// nothing, and whoever holds it counts as having the terminal's disk.
type RecoveryCode struct{ b *secret.Buffer }

// NewRecoveryCode draws a code. The caller owns it.
func NewRecoveryCode(rand io.Reader) (*RecoveryCode, error) {
	b, err := secret.Read(rand, RecoverySecret)
	if err != nil {
		return nil, core.Errorf(core.Internal, "mf: recovery code", "%w", err)
	}
	return &RecoveryCode{b}, nil
}

// Secret lends the code's bytes, for NewOpener.
func (c *RecoveryCode) Secret() *secret.Buffer { return c.b }

// RebindKey is d_rec = scalar(code, "rebind", keyID). Its public half stands
// in the policy; it signs Rebind under protocol.RebindID. The caller owns it.
func (c *RecoveryCode) RebindKey(id KeyID) (*sm.PrivateKey, error) {
	return scalarKey(c.b.Bytes(), labelRebind, id[:])
}

// Wipe wipes the code; nil is fine.
func (c *RecoveryCode) Wipe() {
	if c != nil {
		c.b.Wipe()
	}
}
