package sscc

import (
	"encoding/hex"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
)

// eventKind says what an audit event tells. Numbers are append-only: they are
// stored and hashed.
// req: G-7.6-03
type eventKind uint8

const (
	evUnknown      eventKind = iota
	evTry                    // a counted try was answered; seq and head of the counter
	evConfirm                // n tries were forgiven by a confirmation
	evLocked                 // a try above the limit locked the user
	evDestroyed              // a try above the limit destroyed the sealed keys
	evRefused                // a peer was refused; code and operation
	evPolicyRead             // the policy was read by the bound device
	evLogin                  // the administrator logged in
	evLoginBad               // a wrong administrator's password
	evLogout                 // the administrator logged out
	evSeal                   // the administrator sealed this replica
	evUnsealed               // a replica opened its keys
	evSelfTest               // self-tests on demand; code when one failed
	evInit                   // a new user was committed
	evReplace                // a user's record was replaced
	evUnbind                 // the device gave the user up, or the administrator unbound it
	evDeregister             // the user was cancelled
	evRebind                 // another device was bound by the recovery code
	evRecoverRead            // the policy was read with the recovery code
	evUnlock                 // the administrator unlocked a user
	evLock                   // the administrator locked a user
	evRemove                 // the administrator removed a user
	evAppCreate              // an app was created
	evAppRevoke              // an app was revoked
	evTicket                 // an enrolment ticket was made
	evEnrol                  // a device was enrolled
	evEnrolBad               // an enrolment was refused
	evDeviceRevoke           // a device was revoked
	evRotate                 // keys were rotated
	evSlot                   // a root-key slot was added, changed or removed
	evRollback               // the backend is older than the head kept outside it
	evLost                   // n events were dropped before they could be stored
	evFault                  // a hard fault wiped the keys
	evDecommission           // SS-CC was decommissioned
	evPrepare                // a record was staged
	evAttest                 // a device's attestation was accepted
	evEnd
)

var eventNames = [evEnd]string{"unknown", "try", "confirm", "locked", "destroyed", "refused", "policy-read", "login", "login-bad",
	"logout", "seal", "unsealed", "self-test", "init", "replace", "unbind", "deregister", "rebind", "recover-read", "unlock", "lock",
	"remove", "app-create", "app-revoke", "ticket", "enrol", "enrol-bad", "device-revoke", "rotate", "slot", "rollback", "lost",
	"fault", "decommission", "prepare", "attest"}

func (k eventKind) String() string {
	if k < evEnd {
		return eventNames[k]
	}
	return "unknown"
}

// A digest stands for an identifier in the log: HMAC-SM3 under the audit key,
// cut to 16 bytes. The log alone names nobody.
type digest [16]byte

func (d digest) hex() string {
	if d == (digest{}) {
		return ""
	}
	return hex.EncodeToString(d[:])
}

func digestOf(e *effort, k *keyring, id []byte) (d digest) {
	h := k.names.of(e, 'a', &k.auditKey, id)
	copy(d[:], h[:])
	return d
}

// event is one line of the audit log. It holds no secret and no identifier.
type event struct {
	at      int64 // Unix milliseconds
	kind    eventKind
	code    core.Code
	n       uint32
	seq     uint32 // of the user's counter
	head    protocol.Head
	subject digest
	device  digest
	op      string
}

const maxEventOp = 32

// pack appends the event: 1 ‖ at i64 ‖ kind u8 ‖ code u8 ‖ n u32 ‖ seq u32 ‖
// head 32 ‖ subject 16 ‖ device 16 ‖ op (var).
func (e *event) pack(p *enc.Packer) {
	p.U8(recordVersion)
	p.U64(uint64(e.at))
	p.U8(uint8(e.kind))
	p.U8(uint8(e.code))
	p.U32(e.n)
	p.U32(e.seq)
	p.Raw(e.head[:])
	p.Raw(e.subject[:])
	p.Raw(e.device[:])
	p.Var([]byte(e.op[:min(len(e.op), maxEventOp)]))
}

func unpackEvent(u *enc.Unpacker) (e event) {
	if u.U8() != recordVersion {
		u.Fail()
	}
	e.at, e.kind, e.code, e.n, e.seq = int64(u.U64()), eventKind(u.U8()), core.Code(u.U8()), u.U32(), u.U32()
	u.Raw(e.head[:])
	u.Raw(e.subject[:])
	u.Raw(e.device[:])
	e.op = string(u.Var(maxEventOp))
	if e.kind == evUnknown {
		u.Fail()
	}
	return e
}

// parseEvents reads a run of packed events, at most most.
func parseEvents(b []byte, most int) ([]event, error) {
	u := enc.NewUnpacker(b)
	v, n := u.U8(), int(u.U32())
	if v != recordVersion || n > most {
		return nil, corrupt("part of the audit log")
	}
	var out []event
	for range n {
		e := unpackEvent(u)
		if u.Bad() {
			break
		}
		out = append(out, e)
	}
	if len(out) != n || !u.Done() {
		return nil, corrupt("part of the audit log")
	}
	return out, nil
}

func marshalEvents(es []event) []byte {
	p := &enc.Packer{B: make([]byte, 0, 5+96*len(es))}
	p.U8(recordVersion)
	p.U32(uint32(len(es)))
	for i := range es {
		es[i].pack(p)
	}
	return p.B
}

// next is the chain's head after e: SM3(enc("audit", head, e)).
func (e *event) next(h protocol.Hash) protocol.Hash {
	p := &enc.Packer{}
	e.pack(p)
	return sm.SM3(enc.Join(enc.Str("audit"), h[:], p.B))
}
