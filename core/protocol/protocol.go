// Package protocol holds the messages MST-CC and SS-CC exchange and the byte
// strings they sign. Both components import it; how messages travel (inner
// channel, TLS, gRPC) is escrow/api's business.
//
// Two modes exist. plain is the standard's clause 7: SS-CC keeps the sealed
// keys and hands them to the bound device, one counted try each (Fetch). In
// hardened mode SS-CC also evaluates a per-user OPRF, so that every complete
// guess costs a counted try (Evaluate).
package protocol

import (
	"encoding/hex"
	"fmt"
)

// Fixed sizes of the wire, version 1.
const (
	IDSize    = 16 // user, device, app, realm, attempt and idempotency ids
	TagSize   = 16
	HeadSize  = 32
	PointSize = 33 // SM2 point, compressed
	SigSize   = 64 // SM2 signature, r‖s
	HashSize  = 32 // SM3
	OPRFSize  = 32 // OPRF private key, big-endian scalar

	MaxPolicy = 48 << 10 // bytes of a stored policy
	MaxSealed = 8 << 10  // bytes of the sealed SSP bundle
	MaxHeld   = 10       // tries held unconfirmed; also the highest limit
)

// An ID is 16 random bytes, shown as 32 hex digits.
type ID [IDSize]byte

// String returns lower-case hex.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// IsZero reports whether id was never set; a zero id is refused on the wire.
func (id ID) IsZero() bool { return id == ID{} }

// MarshalText renders hex, for JSON.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads hex.
func (id *ID) UnmarshalText(b []byte) error {
	v, err := ParseID(string(b))
	if err == nil {
		*id = v
	}
	return err
}

// ParseID reads 32 hex digits.
func ParseID(s string) (id ID, err error) {
	if len(s) != 2*IDSize {
		return id, fmt.Errorf("protocol: id of %d characters, want %d hex digits", len(s), 2*IDSize)
	}
	if _, err = hex.Decode(id[:], []byte(s)); err != nil {
		return ID{}, fmt.Errorf("protocol: id: want %d hex digits", 2*IDSize)
	}
	return id, nil
}

// Fixed-size values of the wire.
type (
	// Tag names one try (TryTagInput).
	Tag [TagSize]byte
	// Head chains every try of a user (TryHeadInput).
	Head [HeadSize]byte
	// Point is a compressed SM2 point.
	Point [PointSize]byte
	// Sig is r‖s.
	Sig [SigSize]byte
	// Hash is SM3.
	Hash [HashSize]byte
)

// Mode is the escrow mode of a policy. The zero value is refused.
type Mode uint32

// Modes.
const (
	ModeUnknown  Mode = 0
	ModePlain    Mode = 1
	ModeHardened Mode = 2
)

// String returns plain, hardened or unknown.
func (m Mode) String() string {
	switch m {
	case ModePlain:
		return "plain"
	case ModeHardened:
		return "hardened"
	default:
		return "unknown"
	}
}

// ParseMode is the inverse of String.
func ParseMode(s string) (Mode, error) {
	switch s {
	case "plain":
		return ModePlain, nil
	case "hardened":
		return ModeHardened, nil
	}
	return ModeUnknown, fmt.Errorf("protocol: mode %q, want plain or hardened", s)
}

// Peer is the authenticated other end of a session, as SS-CC sees it.
type Peer struct {
	App    ID
	Device ID
	Key    Point // the device's SM2 public key
}

// Seen is what the terminal remembers of the counter: a regression or a
// history that does not chain is an alarm (I7).
type Seen struct {
	Seq  uint32
	Head Head
}

// HeldTry is an answered try not yet confirmed.
type HeldTry struct {
	Seq    uint32
	Tag    Tag
	Device ID
}

// SeqTag names one try.
type SeqTag struct {
	Seq uint32
	Tag Tag
}

// Tries is the counter as SS-CC shows it to the bound device.
type Tries struct {
	Used      uint32
	Limit     uint32
	UnlockSeq uint64 // raised by each administrator unlock
	Seq       uint32 // of the newest try
	Head      Head   // chain over every try so far
	Held      []HeldTry
	Since     []SeqTag // every try after Seen.Seq, oldest first
	Locked    bool
}

// PolicyRequest asks for the public policy: uncounted, rate-limited, audited.
type PolicyRequest struct {
	User ID
	Seen Seen
}

// PolicyAnswer carries no ciphertext (clause 7.2(3), X-25).
type PolicyAnswer struct {
	Policy []byte
	Gen    uint64 // = the policy's epoch
	Pubs   Pubs
	Tries  Tries
}

// Pubs are the user's two public keys.
type Pubs struct {
	Sign Point
	Enc  Point
}

// FetchRequest is the counted try of plain mode.
type FetchRequest struct {
	User    ID
	Gen     uint64
	Attempt ID
	Seen    Seen
}

// FetchAnswer hands out the sealed keys.
type FetchAnswer struct {
	Sealed []byte
	Seq    uint32
	Tries  Tries
}

// EvaluateRequest is the counted try of hardened mode.
type EvaluateRequest struct {
	User      ID
	Gen       uint64
	Attempt   ID
	Blinded   Point
	WantProof bool
	Seen      Seen
}

// EvaluateAnswer carries the evaluated element and, on request, the DLEQ proof
// (c‖s, 64 bytes).
type EvaluateAnswer struct {
	Evaluated Point
	Proof     []byte
	Sealed    []byte
	Seq       uint32
	Tries     Tries
}

// ConfirmRequest forgives held, equal entries: proof that RK was reached.
type ConfirmRequest struct {
	User    ID
	Gen     uint64
	Entries []SeqTag
	Sig     Sig // under d_conf over ConfirmMessage
}

// ConfirmAnswer tells the counter afterwards.
type ConfirmAnswer struct{ Tries Tries }

// PrepareRequest stages a new user (Init) or a replacement. Nothing staged is
// served; it expires after 24 h; a new Prepare of the device replaces it.
type PrepareRequest struct {
	Init    bool
	User    ID     // zero with Init
	OldGen  uint64 // 0 with Init
	NewGen  uint64
	Idem    ID
	Policy  []byte
	Sealed  []byte
	Pubs    Pubs
	OPRFKey []byte // hardened: OPRFSize bytes, dealt by the terminal; else empty
}

// PrepareAnswer acknowledges; only now may the terminal journal.
type PrepareAnswer struct {
	Expires int64 // Unix seconds
}

// CommitRequest makes the staged record the served one. It is idempotent.
type CommitRequest struct {
	User  ID // zero for an init
	Idem  ID
	Proof Sig // over CommitMessage: the old d_conf on replace, the new one on init
}

// CommitAnswer returns the user id SS-CC made (clause 7.1(9)).
type CommitAnswer struct {
	User ID
	Gen  uint64
}

// StatusRequest asks for the counter and recent reads.
type StatusRequest struct {
	User ID
	Seen Seen
}

// Read is one uncounted policy read, for the person to recognise.
type Read struct {
	Unix   int64
	Device ID
}

// StatusAnswer describes the user's record to its bound device.
type StatusAnswer struct {
	Gen       uint64
	Mode      Mode
	Tries     Tries
	Reads     []Read // newest first, at most 8
	AutoSeal  bool   // SS-CC unseals itself from a key file or credential
	Pending   bool
	ServerNow int64 // Unix seconds (P-16)
}

// StandingRequest asks how this device stands with SS-CC, when it was refused.
// The answer comes through a session both ends proved themselves for, so a
// terminal may end its life on it; a refusal alone anybody could make up.
type StandingRequest struct {
	User ID // zero when the terminal has none
}

// Kept is what SS-CC still keeps of the user who is bound to the asking device.
type Kept uint8

// Values of Kept. A user who is unknown or bound elsewhere is KeptNothing, and
// so is one whose keys were destroyed by too many tries.
const (
	KeptNothing Kept = 0 // nothing SS-CC tells this device about
	KeptUser    Kept = 1 // the record
	KeptUnbound Kept = 2 // unbound, by the device or by the administrator's order
	KeptRemoved Kept = 3 // cancelled, by the device or by the administrator's order
)

// StandingAnswer tells the authenticated device about itself.
type StandingAnswer struct {
	Revoked bool // its app's identifier is revoked: the terminal's life ends
	User    Kept
}

// RemoveRequest unbinds this device or deregisters the user.
type RemoveRequest struct {
	User ID
	Gen  uint64
	Sig  Sig // under d_conf over RemoveMessage
}

// RebindRequest lets a new device make counted tries with the recovery code.
type RebindRequest struct {
	User      ID
	Gen       uint64 // of the policy; 0 in a RecoverPolicyRequest, which asks for it
	Holder    string // anchor holder id in the policy
	Challenge Hash   // from RebindChallenge
	Sig       Sig    // under d_rec over RebindMessage
}

// ChallengeRequest asks for a fresh challenge, bound to device and user: for a
// rebind, or with no user for an attestation.
type ChallengeRequest struct{ User ID }

// ChallengeAnswer is good for one minute.
type ChallengeAnswer struct{ Challenge Hash }

// Bounds of an attestation.
const (
	MaxPlatform    = 32       // bytes of a platform's name
	MaxSubject     = 255      // bytes of the name a platform gives the app
	MaxAttestation = 16 << 10 // bytes of a proof
)

// AttestRequest hands over a platform's proof that the terminal is genuine, made
// over SM3 of AttestInput (P-14).
type AttestRequest struct {
	Platform  string
	Token     []byte
	Challenge Hash
}

// RecoverPolicyRequest reads the policy with a recovery holder's signature;
// the device is enrolled but not yet bound.
type RecoverPolicyRequest = RebindRequest

// EnrolRequest enrols a device with a ticket's single use. MAC is HMAC-SM3
// under the ticket key over EnrolMessage.
type EnrolRequest struct {
	Ticket, App, Device ID
	Key                 Point // the device's SM2 public key
	Challenge           Hash  // from EnrolChallenge, good for one minute
	MAC                 Hash
}

// EnrolAnswer authenticates SS-CC: HMAC-SM3 under the ticket key over
// EnrolledMessage.
type EnrolAnswer struct{ MAC Hash }
