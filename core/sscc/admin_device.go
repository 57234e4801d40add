package sscc

import (
	"cmp"
	"context"
	"slices"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
)

// DeviceInfo describes an enrolled device to the administrator.
type DeviceInfo struct {
	App     protocol.ID `json:"app"`
	ID      protocol.ID `json:"id"`
	Revoked bool        `json:"revoked"`
	Created int64       `json:"created"` // Unix seconds
}

// Devices lists the devices of an app, oldest first. It reads the whole store.
func (s *Server) Devices(ctx context.Context, tok Token, app protocol.ID) (out []DeviceInfo, err error) {
	err = s.asOfficer(ctx, tok, func(k *keyring) error {
		_, err := s.scan(ctx, nil, false, func(r core.Record) (bool, error) {
			if kindOf(r) != kindDevice {
				return true, nil
			}
			dd, err := s.openDoc(nil, k, kindDevice, r)
			if err != nil {
				return false, err
			}
			d, err := parseDevice(dd.plain)
			if err != nil {
				return false, err
			}
			if d.app == app {
				out = append(out, DeviceInfo{d.app, d.id, d.revoked, d.created})
			}
			return true, nil
		})
		return err
	})
	slices.SortFunc(out, func(a, b DeviceInfo) int {
		return cmp.Or(cmp.Compare(a.Created, b.Created), slices.Compare(a.ID[:], b.ID[:]))
	})
	return out, err
}

// RevokeDevice refuses a device from the next call on, for good.
func (s *Server) RevokeDevice(ctx context.Context, tok Token, app, id protocol.ID) error {
	return s.asOfficer(ctx, tok, func(k *keyring) error {
		return s.editDoc(ctx, k, kindDevice, k.deviceKey(nil, app, id), "device", func(plain []byte) ([]byte, error) {
			d, err := parseDevice(plain)
			if err != nil || d.revoked {
				return nil, err
			}
			d.revoked = true
			return d.marshal(), nil
		}, event{kind: evDeviceRevoke, device: s.audit.digest(k, id[:])})
	})
}

// Description tells the administrator how SS-CC stands.
type Description struct {
	Realm    protocol.ID `json:"realm"`
	State    string      `json:"state"`
	Officer  string      `json:"officer"`
	AutoSeal bool        `json:"auto_unseal"` // a key file or credential opens SS-CC
	Backup   bool        `json:"backup"`      // a second password opens the root key
	Apps     int         `json:"apps"`
	AuditSeq uint64      `json:"audit_seq"` // events in the log
	KeyGen   uint16      `json:"key_gen"`   // newest generation of record keys
	KeyGens  int         `json:"key_gens"`  // generations held; 1 = no rotation under way
	Freezes  uint32      `json:"freezes"`   // times the realm was frozen after a rollback
}

// Describe reports the state of this replica and of the realm.
// req: K-10.2-07
func (s *Server) Describe(ctx context.Context, tok Token) (d Description, err error) {
	err = s.asOfficer(ctx, tok, func(k *keyring) error {
		as, err := s.apps(ctx, k)
		if err != nil {
			return err
		}
		b, err := s.loadBoot(ctx)
		if err != nil {
			return err
		}
		has := func(of SlotKind) bool {
			return slices.ContainsFunc(b.slots, func(sl slot) bool { return sl.kind == of })
		}
		d = Description{Realm: k.realm, State: string(s.machine.State()), Officer: string(s.machine.Officer()), AutoSeal: has(SlotAuto),
			Backup: has(SlotBackup), Apps: len(as), KeyGen: k.newest, KeyGens: len(k.gens), Freezes: s.freeze.Load()}
		if err := s.audit.flush(ctx); err != nil {
			return err
		}
		last, err := s.lastPart(ctx, k)
		d.AuditSeq = last.end()
		return err
	})
	return d, err
}
