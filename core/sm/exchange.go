package sm

import (
	"crypto/subtle"
	"io"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/internal/mont"
	"github.com/keposs/keposs/core/secret"
)

// Exchange is one side of one SM2 key exchange with confirmation (GM/T 0003.3
// 6.1): both sides send R, call Agree with the other's, send Confirmation, and
// hand the other's to Confirm; only then Key gives key material. The responder
// sends R and Confirmation together. An Exchange serves one run, by one
// goroutine; its maker calls Wipe on every path.
type Exchange struct {
	initiator bool
	key       *scalars
	peer      PublicKey
	zSelf     [32]byte
	zPeer     [32]byte
	r         mont.Elem
	rPub      PublicKey
	shared    PublicKey // U (the initiator) = V (the responder)
	mine      [32]byte
	expect    [32]byte
	state     exchangeState
}

type exchangeState uint8

const (
	exchangeClosed exchangeState = iota
	exchangeNew
	exchangeAgreed
	exchangeConfirmed
)

// NewInitiator begins as user A. k is lent until Wipe; ids are 1 to MaxID
// bytes; rand nil means Rand(). Errors: Usage, Invalid for a zero peer, Closed
// for a wiped key, the reader's.
func NewInitiator(k *PrivateKey, id []byte, peer PublicKey, peerID []byte, rand io.Reader) (*Exchange, error) {
	return newExchange(true, k, id, peer, peerID, rand)
}

// NewResponder begins as user B, under the rules of NewInitiator.
func NewResponder(k *PrivateKey, id []byte, peer PublicKey, peerID []byte, rand io.Reader) (*Exchange, error) {
	return newExchange(false, k, id, peer, peerID, rand)
}

func newExchange(initiator bool, k *PrivateKey, id []byte, peer PublicKey, peerID []byte, rand io.Reader) (*Exchange, error) {
	const op = "sm: key exchange"
	s, err := k.open(op)
	if err != nil {
		return nil, err
	}
	if peer.IsZero() {
		return nil, core.Errorf(core.Invalid, op, "the peer's key is the zero value: parse one first")
	}
	for _, v := range [][]byte{id, peerID} {
		if err := checkID(op, v); err != nil {
			return nil, err
		}
	}
	if rand == nil {
		rand = Rand()
	}
	x := &Exchange{initiator: initiator, key: s, peer: peer, zSelf: za(&s.pub, id), zPeer: za(&peer, peerID)}
	guarded(func() {
		var bind, nonce [32]byte
		s.bind(&bind, &x.zPeer)
		for n := 0; n < maxDraws && x.state == exchangeClosed && err == nil; n++ {
			if err = hedgedNonce(&nonce, rand, &bind); err == nil {
				x.begin(&nonce)
			}
		}
		clear(nonce[:])
		clear(bind[:])
	})
	if err != nil {
		return nil, core.Errorf(core.CodeOf(err), op, "draw an ephemeral key: %w", err)
	}
	if x.state == exchangeClosed {
		return nil, core.Errorf(core.Integrity, op, "%d draws gave no ephemeral key: the random source is broken", maxDraws)
	}
	return x, nil
}

// begin sets the ephemeral pair unless r is zero.
func (x *Exchange) begin(r *[32]byte) {
	pub, ok := baseMult(r)
	if !ok {
		return
	}
	order.SetBytes(&x.r, r)
	x.rPub, x.state = pub, exchangeNew
}

// R is the ephemeral public point to send, compressed.
func (x *Exchange) R() [33]byte { return x.rPub.Compressed() }

// Agree takes the peer's ephemeral point, 33 or 65 bytes. Errors: Invalid when
// it is no point or the shared point is the identity; Usage out of order.
func (x *Exchange) Agree(peerR []byte) error {
	const op = "sm: key exchange"
	if x.state != exchangeNew {
		return core.Errorf(core.Usage, op, "Agree is called once, first")
	}
	q, err := ParsePoint(peerR)
	if err != nil {
		return core.Errorf(core.Invalid, op, "the peer's ephemeral point: %w", err)
	}
	ok := false
	guarded(func() { ok = x.agree(&q) })
	if !ok {
		x.Wipe()
		return core.Errorf(core.Invalid, op, "the shared point is the identity: the peer chose its keys to force it")
	}
	x.state = exchangeAgreed
	return nil
}

func (x *Exchange) agree(peerR *PublicKey) bool {
	// t = d + x̄·r, U = t·(P + x̄'·R'); the cofactor is 1.
	var t mont.Elem
	reduceX(&t, x.rPub.xy[:32])
	order.Mul(&t, &t, &x.r)
	order.Add(&t, &t, &x.key.d)
	var xp mont.Elem
	reduceX(&xp, peerR.xy[:32])
	var kb, tb [32]byte
	order.Bytes(&kb, &xp)
	order.Bytes(&tb, &t)
	defer clear(tb[:])
	sum, ok := peerR.mult(&kb)
	if !ok {
		return false
	}
	if sum, ok = x.peer.Add(sum); !ok {
		return false
	}
	if x.shared, ok = sum.mult(&tb); !ok {
		return false
	}
	za, zb, ra, rb := x.zSelf[:], x.zPeer[:], x.rPub.xy[:], peerR.xy[:]
	if !x.initiator {
		za, zb, ra, rb = zb, za, rb, ra
	}
	var inner, s2, s3 [32]byte
	digest(&inner, x.shared.xy[:32], za, zb, ra, rb)
	digest(&s2, []byte{2}, x.shared.xy[32:], inner[:]) // S_B, sent by the responder
	digest(&s3, []byte{3}, x.shared.xy[32:], inner[:]) // S_A, sent by the initiator
	x.mine, x.expect = s3, s2
	if !x.initiator {
		x.mine, x.expect = s2, s3
	}
	clear(inner[:])
	return true
}

// Confirmation is what this side sends to prove it holds the key: S_A of the
// initiator, S_B of the responder. It is zero before Agree.
func (x *Exchange) Confirmation() [32]byte { return x.mine }

// Confirm checks the peer's confirmation in constant time. On a mismatch the
// exchange is wiped. Errors: Auth; Usage out of order.
func (x *Exchange) Confirm(peer [32]byte) error {
	const op = "sm: key exchange"
	if x.state != exchangeAgreed {
		return core.Errorf(core.Usage, op, "Confirm is called once, after Agree")
	}
	if subtle.ConstantTimeCompare(peer[:], x.expect[:]) != 1 {
		x.Wipe()
		return core.Errorf(core.Auth, op, "the peer's confirmation is wrong: it does not hold the key it claims, or the messages were changed")
	}
	x.state = exchangeConfirmed
	return nil
}

// maxExchangeKey bounds Key.
const maxExchangeKey = 1 << 16

// Key returns KDF(xU ‖ yU ‖ ZA ‖ ZB) of n bytes, 1 to 65536, owned by the
// caller. The same n gives the same key. Errors: Usage before Confirm and for
// n out of range.
func (x *Exchange) Key(n int) (*secret.Buffer, error) {
	const op = "sm: key exchange"
	if x.state != exchangeConfirmed {
		return nil, core.Errorf(core.Usage, op, "the peer has not confirmed")
	}
	if n < 1 || n > maxExchangeKey {
		return nil, core.Errorf(core.Usage, op, "key of %d bytes: want 1 to %d", n, maxExchangeKey)
	}
	za, zb := x.zSelf[:], x.zPeer[:]
	if !x.initiator {
		za, zb = zb, za
	}
	out := secret.New(n)
	guarded(func() { kdf(out.Bytes(), x.shared.xy[:], za, zb) })
	return out, nil
}

// Wipe zeroes the exchange. It may be called on nil and repeatedly.
func (x *Exchange) Wipe() {
	if x != nil {
		*x = Exchange{}
	}
}
