package protocol

import (
	"github.com/keposs/keposs/core/enc"
)

// Ids under which keys derived from RK sign. d_M never signs under an id that
// begins with "KEPOSS-": every adapter refuses that as Usage, so a signature
// of the user is never one of these.
const (
	PolicyID  = "KEPOSS-POLICY-v1"
	ConfirmID = "KEPOSS-CONFIRM-v1"
	RebindID  = "KEPOSS-REBIND-v1"

	ReservedIDPrefix = "KEPOSS-"
)

// DefaultUserID is the id of SM2 signatures when the app gives none (GM/T 0009).
const DefaultUserID = "1234567812345678"

func entries(es []SeqTag) []byte {
	items := make([][]byte, len(es))
	for i, e := range es {
		items[i] = enc.Join(enc.U32(e.Seq), e.Tag[:])
	}
	return enc.Join(items...)
}

// Encode returns enc(P_sign, P_enc); its SM3 stands in the policy, the blob and
// the proofs.
func (p Pubs) Encode() []byte { return enc.Join(p.Sign[:], p.Enc[:]) }

// ConfirmMessage is what d_conf signs to have entries forgiven.
func ConfirmMessage(realm, app, user ID, gen uint64, es []SeqTag) []byte {
	return enc.Join(enc.Str("confirm"), realm[:], app[:], user[:], enc.U64(gen), entries(es))
}

// Commit holds the fields of CommitMessage. User is zero ("") on init.
type Commit struct {
	Realm, App, User ID
	Idem             ID
	OldGen, NewGen   uint64
	Policy, Sealed   Hash // SM3 of the stored bytes
	Pubs             Hash // SM3(enc(P_sign, P_enc))
	OPRFKey          Hash // SM3 of the dealt key, or of "" in plain mode
	Device           Point
}

// CommitMessage is what d_conf signs before step 7 of clause 7.1.
func CommitMessage(c Commit) []byte {
	var user []byte
	if !c.User.IsZero() {
		user = c.User[:]
	}
	return enc.Join(enc.Str("commit"), c.Realm[:], c.App[:], user, c.Idem[:],
		enc.U64(c.OldGen), enc.U64(c.NewGen), c.Policy[:], c.Sealed[:], c.Pubs[:], c.OPRFKey[:], c.Device[:])
}

// RemoveMessage is what d_conf signs to unbind a device or deregister a user.
// deregister picks the verb.
func RemoveMessage(deregister bool, realm, app, user ID, gen uint64, device ID) []byte {
	verb := "unbind"
	if deregister {
		verb = "deregister"
	}
	return enc.Join(enc.Str(verb), realm[:], app[:], user[:], enc.U64(gen), device[:])
}

// RebindMessage is what d_rec signs to let a new device try.
func RebindMessage(realm, app, user ID, gen uint64, holder string, device Point, challenge Hash) []byte {
	return enc.Join(enc.Str("rebind"), realm[:], app[:], user[:], enc.U64(gen), enc.Str(holder), device[:], challenge[:])
}

// TryTagInput is what a try's tag is SM3 of, cut to TagSize:
// enc(attempt, SM3(B or "")).
func TryTagInput(attempt ID, blinded Hash) []byte { return enc.Join(attempt[:], blinded[:]) }

// TryHeadInput is what the next head is SM3 of: enc("try", h, seq, tag).
func TryHeadInput(h Head, seq uint32, tag Tag) []byte {
	return enc.Join(enc.Str("try"), h[:], enc.U32(seq), tag[:])
}

// EnrolMessage is what a device authenticates with the ticket key.
func EnrolMessage(app, device ID, key Point, challenge Hash) []byte {
	return enc.Join(enc.Str("enrol"), app[:], device[:], key[:], challenge[:])
}

// EnrolledMessage is what SS-CC answers with, under the same key.
func EnrolledMessage(app, device ID, key Point, challenge Hash, realm ID) []byte {
	return enc.Join(enc.Str("enrolled"), app[:], device[:], key[:], challenge[:], realm[:])
}

// AttestInput is what an attestation's nonce is SM3 of: a proof is good for one
// challenge, device and device key.
func AttestInput(realm, app, device ID, key Point, challenge Hash) []byte {
	return enc.Join(enc.Str("attest"), realm[:], app[:], device[:], key[:], challenge[:])
}
