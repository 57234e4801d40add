package sscc

import (
	"context"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mf"
	"github.com/keposs/keposs/core/protocol"
)

// deviceOf is the device key a policy's anchor names; zero when it has none.
func deviceOf(p *mf.Policy) (key protocol.Point) {
	for _, h := range p.Anchor {
		if h.Kind == mf.HolderDevice {
			key = h.P
		}
	}
	return key
}

// foreign reports whether a replacement names a device key it may not: only a
// revoke on the bound terminal brings a new one, proved by the Commit's
// signature. After a Rebind the new terminal's own key is the one.
func (c *call) foreign(u *user, b *blob, p *mf.Policy) bool {
	key := deviceOf(p)
	if key == (protocol.Point{}) || key == c.peer.Key {
		return false
	}
	return u.hot.rebound || p.MKGen != b.mkGen+1
}

// rekey makes key the calling device's: the old one is refused from then on. It
// comes after the user's record and before the Commit is marked, so a Commit
// repeated after a crash in between, under the old key, completes it.
func (c *call) rekey(ctx context.Context, key protocol.Point) error {
	if key == (protocol.Point{}) {
		return nil
	}
	for {
		d, err := c.s.getDoc(ctx, c.k, kindDevice, c.k.deviceKey(nil, c.peer.App, c.peer.Device))
		if err != nil {
			return err
		}
		if d.version == 0 {
			return refused
		}
		dev, err := parseDevice(d.plain)
		if err != nil || dev.key == key {
			return err
		}
		if dev.revoked || dev.key != c.peer.Key {
			return refused
		}
		dev.key = key
		d.plain = dev.marshal()
		if err := c.s.putDoc(ctx, c.k, kindDevice, d); core.CodeOf(err) != core.Conflict {
			if err == nil {
				c.s.cfg.Step.At("commit.rekeyed")
			}
			return err
		}
	}
}
