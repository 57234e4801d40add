package mf

import (
	"bytes"
	"crypto/subtle"
	"encoding/base32"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

// A Sheet is what a person keeps on paper to recover on a new terminal: the
// code, where to go, and a digest that the policy served there must match.
// Whoever holds it counts as having the terminal's disk. Wipe it.
type Sheet struct {
	Code     *RecoveryCode // nil in a sheet's details
	User     protocol.ID
	Realm    protocol.ID
	Server   protocol.Point // SS-CC's identity key
	Endpoint string         // at most MaxEndpoint bytes
	KeyID    KeyID
	Bind     [16]byte // SM3(enc(head, keyID, mkGen, P_pol, pubs))[:16], head by the key space
}

// Bounds and texts of a sheet. The payload is upper-case letters, digits, ':'
// and '-', so a QR code carries it in its dense alphanumeric mode.
const (
	MaxEndpoint   = 255
	sheetPrefix   = "KEPOSS-SHEET1:"
	detailsPrefix = "KEPOSS-DETAILS1:"
	sheetSum      = 4
	maxSheetText  = 4096
)

var sheetBase32 = base32.StdEncoding.WithPadding(base32.NoPadding)

// sheetBind ties a sheet to one RK's policies, whatever their epoch, and to the
// key space: approved keys are recovered as such and by nothing else.
func sheetBind(p *Policy, approved bool) [16]byte {
	head := headSheet
	if approved {
		head = headSheetOK
	}
	h := sm.SM3(enc.Join(enc.Str(head), p.KeyID[:], enc.U64(p.MKGen), p.PPol[:], p.Pubs[:]))
	return [16]byte(h[:16])
}

// NewSheet makes the sheet of a sealed generation that has the code as a
// holder; approved says that the keys are of the approved space. The sheet
// takes over a copy of the code.
// req: G-7.2-03
func NewSheet(code *RecoveryCode, sealed []byte, user, realm protocol.ID, server protocol.Point, endpoint string, approved bool) (*Sheet, error) {
	const op = "mf: new sheet"
	p, err := ParsePolicy(sealed)
	if err != nil {
		return nil, err
	}
	h := p.Holder(RecoveryHolder)
	k, err := code.RebindKey(p.KeyID)
	if err != nil {
		return nil, err
	}
	defer k.Wipe()
	if h == nil || h.P != k.Public().Compressed() {
		return nil, core.Errorf(core.Usage, op, "the code is not a holder of this policy")
	}
	if endpoint == "" || len(endpoint) > MaxEndpoint {
		return nil, core.Errorf(core.Usage, op, "endpoint of %d bytes, want 1 to %d", len(endpoint), MaxEndpoint)
	}
	return &Sheet{Code: &RecoveryCode{code.b.Clone()}, User: user, Realm: realm, Server: server, Endpoint: endpoint,
		KeyID: p.KeyID, Bind: sheetBind(p, approved)}, nil
}

// Payload returns the whole sheet as one line of text for a QR code or a text
// file. The caller owns the buffer.
func (s *Sheet) Payload() *secret.Buffer {
	return s.text(sheetPrefix, s.Code.b.Bytes())
}

// Details returns the sheet without the code: nothing secret. With the words
// it makes the sheet again.
func (s *Sheet) Details() string { return string(s.text(detailsPrefix, nil).Bytes()) }

func (s *Sheet) text(prefix string, code []byte) *secret.Buffer {
	// Sizes are exact, so that no append leaves a copy of the code behind.
	body := make([]byte, 0, len(code)+3*16+protocol.PointSize+16+1+len(s.Endpoint)+sheetSum)
	body = append(body, code...)
	body = append(body, s.User[:]...)
	body = append(body, s.Realm[:]...)
	body = append(body, s.Server[:]...)
	body = append(body, s.KeyID[:]...)
	body = append(body, s.Bind[:]...)
	body = append(body, byte(len(s.Endpoint)))
	body = append(body, s.Endpoint...)
	sum := sheetChecksum(prefix, body)
	body = append(body, sum[:]...)
	defer secret.Zero(body)
	out := secret.New(len(prefix) + sheetBase32.EncodedLen(len(body)))
	copy(out.Bytes(), prefix)
	sheetBase32.Encode(out.Bytes()[len(prefix):], body)
	return out
}

func sheetChecksum(prefix string, body []byte) [sheetSum]byte {
	msg := enc.Join(enc.Str(prefix), body)
	defer secret.Zero(msg)
	h := sm.SecretSM3(msg)
	defer h.Wipe()
	return [sheetSum]byte(h.Bytes()[:sheetSum])
}

// ParseSheet reads a Payload; spaces, line breaks and case are forgiven. Errors
// have code Invalid.
func ParseSheet(text []byte) (*Sheet, error) { return parseSheet(sheetPrefix, text, RecoverySecret) }

// ParseDetails reads Details and joins it with the code read by ParseWords,
// which the sheet takes over.
func ParseDetails(text []byte, code *RecoveryCode) (*Sheet, error) {
	s, err := parseSheet(detailsPrefix, text, 0)
	if err != nil {
		return nil, err
	}
	s.Code = code
	return s, nil
}

func parseSheet(prefix string, text []byte, code int) (*Sheet, error) {
	const op = "mf: parse sheet"
	bad := func(why string) (*Sheet, error) { return nil, core.Errorf(core.Invalid, op, "%s", why) }
	if len(text) > maxSheetText {
		return bad("far too long for a recovery sheet")
	}
	clean := make([]byte, 0, len(text))
	defer func() { secret.Zero(clean) }()
	for _, ch := range text {
		switch {
		case ch == ' ' || ch == '\n' || ch == '\r' || ch == '\t':
		case ch >= 'a' && ch <= 'z':
			clean = append(clean, ch-'a'+'A')
		default:
			clean = append(clean, ch)
		}
	}
	digits, ok := bytes.CutPrefix(clean, []byte(prefix))
	if !ok {
		return bad("it does not begin with " + prefix)
	}
	body := make([]byte, sheetBase32.DecodedLen(len(digits)))
	defer secret.Zero(body)
	n, err := sheetBase32.Decode(body, digits)
	if err != nil {
		return bad("a character is not of the code")
	}
	// One text for one sheet: the decoder forgives unused low bits, we do not.
	again := make([]byte, sheetBase32.EncodedLen(n))
	defer secret.Zero(again)
	sheetBase32.Encode(again, body[:n])
	fixed := code + 3*16 + protocol.PointSize + 16 + 1
	if n < fixed+1+sheetSum || subtle.ConstantTimeCompare(again, digits) != 1 {
		return bad("it is cut short or a character is wrong")
	}
	want := sheetChecksum(prefix, body[:n-sheetSum])
	if subtle.ConstantTimeCompare(want[:], body[n-sheetSum:n]) != 1 {
		return bad("the checksum does not match: a character is wrong")
	}
	r := enc.NewUnpacker(body[code : n-sheetSum])
	s := &Sheet{}
	r.Raw(s.User[:])
	r.Raw(s.Realm[:])
	r.Raw(s.Server[:])
	r.Raw(s.KeyID[:])
	r.Raw(s.Bind[:])
	s.Endpoint = string(r.Take(int(r.U8())))
	if _, err := sm.ParsePoint(s.Server[:]); err != nil || !r.Done() || s.Endpoint == "" {
		return bad("its fields do not fit together")
	}
	if code > 0 {
		s.Code = &RecoveryCode{secret.Copy(body[:code])}
	}
	return s, nil
}

// Wipe wipes the code.
func (s *Sheet) Wipe() {
	if s != nil {
		s.Code.Wipe()
	}
}

// CheckSheet is step 0 on a new terminal: everything Check does, with the
// sheet in the trust record's place. The epoch is not known, so an older
// policy of the same RK passes; that is tolerated because what it opens can
// only be revoked. The result takes no Edit. x.Slots and x.Floor are not used.
func CheckSheet(b []byte, s *Sheet, x Expect) (*Checked, error) {
	const op = "mf: check policy against sheet"
	p, err := ParsePolicy(b)
	if err != nil {
		return nil, err
	}
	plain, approved := sheetBind(p, false), sheetBind(p, true)
	ofApproved := approved == s.Bind
	if p.KeyID != s.KeyID || !ofApproved && plain != s.Bind {
		return nil, core.Errorf(core.Policy, op, "the policy is not the one of this sheet: an older generation, changed or another user's")
	}
	x.Floor, x.Realm = core.Params{}, s.Realm
	c, err := check(b, x, p.PPol) // P_pol is bound by the sheet's digest
	if err != nil {
		return nil, err
	}
	c.ApprovedKeys = ofApproved
	if p.Holder(RecoveryHolder) == nil {
		return nil, core.Errorf(core.Policy, op, "the policy has no recovery holder")
	}
	if x.Pubs != nil {
		if pubsHash(*x.Pubs) != p.Pubs {
			return nil, core.Errorf(core.Policy, op, "SS-CC served other public keys than the sheet's")
		}
		c.Pubs = *x.Pubs
	}
	return c, nil
}
