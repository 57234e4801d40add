// Package seal protects secrets between a host and a plugin process below the
// transport: what gRPC and TLS keep in their buffers is ciphertext.
//
// The plugin makes an SM2 key for its process. The host draws 32 random bytes,
// encrypts them to that key and both derive, with SM2KDF over the secret and
// the digest of the transcript, an SM4 and an HMAC-SM3 key per direction and a
// confirmation key. A sealed value is
//
//	seq (8, big-endian) ‖ iv (16) ‖ SM4-CTR ciphertext ‖ HMAC-SM3 (32)
//
// where iv is seq followed by eight zero bytes and the tag covers the context
// name, its length, seq, iv and ciphertext. Each direction counts seq from 1;
// a value that was seen or lies more than the window behind is refused, so
// that several streams may arrive out of order and nothing is taken twice.
package seal

import (
	"crypto/subtle"
	"encoding/binary"
	"io"
	"sync"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

const (
	ivLen  = 16
	tagLen = 32
	// Overhead is how many bytes a sealed value is longer than its content.
	Overhead = 8 + ivLen + tagLen
	// Max is the longest content, in bytes.
	Max = 3 << 20
	// window is how far behind the newest value an older one may arrive.
	window = 4096

	seedLen    = 32
	cipherLen  = 97 + seedLen
	confirmLen = 32
	label      = "keposs.plugin.v1 sealing"
)

// A Key is the plugin's part of the agreement: one fresh SM2 key.
type Key struct {
	mu   sync.Mutex
	key  *sm.PrivateKey
	used bool
}

// NewKey makes the plugin's key from rand; nil means the module's generator.
func NewKey(rand io.Reader) (*Key, error) {
	if rand == nil {
		rand = sm.Rand()
	}
	k, err := sm.GenerateKey(rand)
	if err != nil {
		return nil, err
	}
	if err := sm.PairTest(k); err != nil {
		k.Wipe()
		return nil, err
	}
	return &Key{key: k}, nil
}

// Public returns the key's public point, 65 bytes.
func (k *Key) Public() []byte {
	p := k.key.Public().Uncompressed()
	return p[:]
}

// Accept opens the host's message and returns the plugin's end with the
// confirmation to answer. It works once: State afterwards. The key is wiped.
func (k *Key) Accept(ciphertext []byte) (*Session, []byte, error) {
	const op = "plugin: establish"
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.used {
		return nil, nil, core.Errorf(core.State, op, "a sealing session exists already")
	}
	if len(ciphertext) != cipherLen {
		return nil, nil, core.Errorf(core.Invalid, op, "message has %d bytes, want %d", len(ciphertext), cipherLen)
	}
	seed, err := k.key.Decrypt(ciphertext)
	if err != nil {
		return nil, nil, core.Errorf(core.Refused, op, "the message does not open")
	}
	defer seed.Wipe()
	s, confirm := derive(seed.Bytes(), k.Public(), ciphertext, false)
	k.used = true
	k.key.Wipe()
	return s, confirm, nil
}

// Offer is the host's step: it returns the message for the plugin and what
// turns the plugin's confirmation into a session. public is the plugin's
// point. Errors: Refused for a point that is none.
func Offer(rand io.Reader, public []byte) (ciphertext []byte, finish func(confirm []byte) (*Session, error), err error) {
	const op = "plugin: sealing"
	if rand == nil {
		rand = sm.Rand()
	}
	pub, err := sm.ParsePoint(public)
	if err != nil || len(public) != 65 {
		return nil, nil, core.Errorf(core.Refused, op, "the plugin's key is not an SM2 point of 65 bytes")
	}
	seed, err := secret.Read(rand, seedLen)
	if err != nil {
		return nil, nil, core.Errorf(core.Internal, op, "%w", err)
	}
	defer seed.Wipe()
	ciphertext, err = sm.Encrypt(rand, pub, seed.Bytes())
	if err != nil {
		return nil, nil, err
	}
	s, want := derive(seed.Bytes(), public, ciphertext, true)
	return ciphertext, func(confirm []byte) (*Session, error) {
		if subtle.ConstantTimeCompare(confirm, want) != 1 {
			s.Close()
			return nil, core.Errorf(core.Refused, op, "the plugin did not confirm the session")
		}
		return s, nil
	}, nil
}

// derive makes both ends' keys from the seed and the transcript.
func derive(seed, public, ciphertext []byte, host bool) (*Session, []byte) {
	transcript := sm.SM3Of([]byte(label), public, ciphertext) // every part has a fixed length
	z := secret.New(len(seed) + len(transcript))
	defer z.Wipe()
	copy(z.Bytes(), seed)
	copy(z.Bytes()[len(seed):], transcript[:])
	keys := sm.KDF(z.Bytes(), 2*(16+32)+32)
	defer secret.Zero(keys)
	toPlugin, toHost := newHalf(keys[:48]), newHalf(keys[48:96])
	confirm := sm.HMAC(keys[96:], []byte(label+" confirm"))
	if host {
		return &Session{out: toPlugin, in: toHost}, confirm[:]
	}
	return &Session{out: toHost, in: toPlugin}, confirm[:]
}

// half is one direction.
type half struct {
	mu     sync.Mutex
	keys   *secret.Buffer // SM4 key (16) ‖ HMAC key (32); empty after close
	last   uint64         // newest seq sent or taken
	closed bool
	seen   [window / 64]uint64 // ring of taken numbers not older than the window
}

func newHalf(keys []byte) *half { return &half{keys: secret.Copy(keys)} }

// A Session seals and opens for one end. Safe for concurrent use.
type Session struct{ out, in *half }

// Close wipes the keys; Seal and Open are Closed afterwards.
func (s *Session) Close() {
	for _, h := range []*half{s.out, s.in} {
		h.mu.Lock()
		h.closed = true
		h.keys.Wipe()
		h.mu.Unlock()
	}
}

// Seal protects plain (lent) for the context of its field, such as "sample".
func (s *Session) Seal(context string, plain []byte) ([]byte, error) {
	const op = "plugin: seal"
	if len(plain) > Max {
		return nil, core.Errorf(core.TooLarge, op, "%s of more than %d bytes", context, Max)
	}
	s.out.mu.Lock()
	defer s.out.mu.Unlock()
	if s.out.closed {
		return nil, core.Errorf(core.Closed, op, "the connection is closed")
	}
	s.out.last++
	box := make([]byte, Overhead+len(plain))
	binary.BigEndian.PutUint64(box, s.out.last)
	binary.BigEndian.PutUint64(box[8:], s.out.last)
	body := box[8+ivLen : len(box)-tagLen]
	if err := sm.CTR(s.out.keys.Bytes()[:16], box[8:8+ivLen], body, plain); err != nil {
		return nil, err
	}
	tag := s.out.tag(context, box[:len(box)-tagLen])
	copy(box[len(box)-tagLen:], tag[:])
	return box, nil
}

// Open checks and opens a sealed value; the caller owns the buffer. Refused
// stands for every failure of the value itself.
func (s *Session) Open(context string, box []byte) (*secret.Buffer, error) {
	const op = "plugin: open"
	if len(box) < Overhead || len(box) > Overhead+Max {
		return nil, core.Errorf(core.Refused, op, "%s: a sealed value has %d to %d bytes", context, Overhead, Overhead+Max)
	}
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	if s.in.closed {
		return nil, core.Errorf(core.Closed, op, "the connection is closed")
	}
	tag := s.in.tag(context, box[:len(box)-tagLen])
	if subtle.ConstantTimeCompare(tag[:], box[len(box)-tagLen:]) != 1 {
		return nil, core.Errorf(core.Refused, op, "%s: the sealed value does not check", context)
	}
	if !s.in.take(binary.BigEndian.Uint64(box)) {
		return nil, core.Errorf(core.Refused, op, "%s: the sealed value is a repetition", context)
	}
	plain := secret.New(len(box) - Overhead)
	if err := sm.CTR(s.in.keys.Bytes()[:16], box[8:8+ivLen], plain.Bytes(), box[8+ivLen:len(box)-tagLen]); err != nil {
		plain.Wipe()
		return nil, err
	}
	return plain, nil
}

func (h *half) tag(context string, covered []byte) [32]byte {
	msg := make([]byte, 0, 1+len(context)+len(covered))
	msg = append(msg, byte(len(context)))
	msg = append(msg, context...)
	msg = append(msg, covered...)
	return sm.HMAC(h.keys.Bytes()[16:], msg)
}

// take notes seq and reports whether it is new.
func (h *half) take(seq uint64) bool {
	if seq == 0 || seq+window <= h.last {
		return false
	}
	if seq > h.last {
		if seq-h.last >= window {
			h.seen = [window / 64]uint64{}
		} else {
			for n := h.last + 1; n <= seq; n++ {
				h.seen[n%window/64] &^= 1 << (n % 64)
			}
		}
		h.last = seq
	} else if h.seen[seq%window/64]>>(seq%64)&1 == 1 {
		return false
	}
	h.seen[seq%window/64] |= 1 << (seq % 64)
	return true
}
