// Package link carries the frames between an app and the agent that serves it
// over a Unix socket of this machine (client.ServeAgent, docs/agent.md).
//
// A frame is kind u8 ‖ length u32 ‖ body. It is read from the socket straight
// into a buffer that can be wiped and written from the caller's own: between
// the two processes a sample has no other copy than the kernel's. That is why
// the frames are our own; a general RPC keeps pooled copies of what it carries.
//
// One connection carries one call: whoever closes it has given the call up.
package link

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
)

// Versions of frames and calls. A call names the first one that has what it
// needs: version 2 has the questions about the app's platform. An agent refuses a
// version it does not know with Unsupported.
const (
	Plain   = 1
	Version = 2 // the newest
)

// A Kind says what a frame is.
type Kind uint8

// Kinds; the numbers are the wire's and append-only.
const (
	Call   Kind = 1  // app: the verb and its arguments, JSON
	Data   Kind = 2  // both: bytes that belong to the Call or Result before them
	Ask    Kind = 3  // agent: a core.Prompt, JSON
	Sample Kind = 4  // app: the answer to Ask, EncodeSample
	Refuse Kind = 5  // app: the answer to Ask, Show, Choose or Attest is an error, JSON
	Event  Kind = 6  // agent: a step of a flow, JSON
	Show   Kind = 7  // agent: a recovery sheet's payload
	Shown  Kind = 8  // app: the person has the sheet
	Choose Kind = 9  // agent: ways to open, JSON
	Chosen Kind = 10 // app: labels the person gives, JSON
	Result Kind = 11 // agent: what became of the call, JSON; the last but its Data

	// From version 2 on, asked of apps whose call says that they answer.
	Probe    Kind = 12 // agent: which probes the app's host is asked, EncodeProbes
	Verdicts Kind = 13 // app: the answer to Probe, EncodeVerdicts
	Attest   Kind = 14 // agent: the nonce a proof must be over, 32 bytes
	Proof    Kind = 15 // app: the answer to Attest, EncodeProof
)

// MaxData bounds one Data frame and all that belong to one Call or Result, in
// bytes: the largest envelope and its head.
const MaxData = 64<<20 + 1<<20

const (
	maxJSON   = 1 << 20 // a policy of many factors shows in a Result
	maxSample = 1<<20 + 2 + 2*maxName
	maxName   = 64
	headSize  = 5
)

// bound is the longest body of a kind; 0 for kinds that do not exist.
func bound(k Kind) int {
	switch k {
	case Data:
		return MaxData
	case Sample:
		return maxSample
	case Show:
		return 4 << 10
	case Shown:
		return 0
	case Probe:
		return maxProbes * (1 + maxID)
	case Verdicts:
		return maxProbes
	case Attest:
		return protocol.HashSize
	case Proof:
		return maxProof
	case Call, Ask, Refuse, Event, Choose, Chosen, Result:
		return maxJSON
	}
	return -1
}

// A Conn is one side of a call. Send is safe for concurrent use, Receive is one
// goroutine's.
type Conn struct {
	net.Conn
	mu sync.Mutex
}

// Send writes one frame; the parts of its body (lent) follow one another.
func (c *Conn) Send(k Kind, parts ...[]byte) error {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	if n > bound(k) {
		return core.Errorf(core.TooLarge, "client: agent", "a frame of %d bytes, at most %d", n, bound(k))
	}
	head := [headSize]byte{byte(k)}
	binary.BigEndian.PutUint32(head[1:], uint32(n))
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.Write(head[:]); err != nil {
		return broken(err)
	}
	for _, p := range parts {
		if len(p) == 0 {
			continue
		}
		if _, err := c.Write(p); err != nil {
			return broken(err)
		}
	}
	return nil
}

// Receive reads one frame; the caller wipes its body. Closed is the code when
// the other side ended the connection between two frames, Invalid for what is
// no frame; nothing is allocated for a length above the kind's bound.
func (c *Conn) Receive() (Kind, *secret.Buffer, error) { return Read(c.Conn) }

// Read is Receive from any reader.
func Read(r io.Reader) (Kind, *secret.Buffer, error) {
	const op = "client: agent"
	var head [headSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return 0, nil, core.Errorf(core.Closed, op, "the other side ended the call")
		}
		return 0, nil, broken(err)
	}
	k, n := Kind(head[0]), binary.BigEndian.Uint32(head[1:])
	most := bound(k)
	if most < 0 {
		return 0, nil, core.Errorf(core.Invalid, op, "a frame of unknown kind %d", k)
	}
	if uint64(n) > uint64(most) {
		return 0, nil, core.Errorf(core.TooLarge, op, "a frame of %d bytes, at most %d", n, most)
	}
	b := secret.New(int(n))
	if _, err := io.ReadFull(r, b.Bytes()); err != nil {
		b.Wipe()
		return 0, nil, broken(err)
	}
	return k, b, nil
}

// broken is a connection that failed: whether the call was served is not known.
func broken(err error) error {
	return core.Errorf(core.Indeterminate, "client: agent", "the connection broke: %w", err)
}

// EncodeSample is the head of a Sample frame; the sample's bytes follow it:
// len u8 ‖ kind ‖ len u8 ‖ model.
func EncodeSample(s core.Sample) ([]byte, error) {
	if len(s.Kind) > maxName || len(s.Model) > maxName {
		return nil, core.Errorf(core.Invalid, "client: agent", "a sample's kind or model of more than %d bytes", maxName)
	}
	out := make([]byte, 0, 2+len(s.Kind)+len(s.Model))
	out = append(out, byte(len(s.Kind)))
	out = append(out, s.Kind...)
	out = append(out, byte(len(s.Model)))
	return append(out, s.Model...), nil
}

// DecodeSample takes over and wipes body; the caller owns the sample.
func DecodeSample(body *secret.Buffer) (core.Sample, error) {
	defer body.Wipe()
	bad := core.Errorf(core.Invalid, "client: agent", "a malformed sample")
	b := body.Bytes()
	var names [2]string
	for i := range names {
		if len(b) == 0 || int(b[0]) > maxName || len(b) < 1+int(b[0]) {
			return core.Sample{}, bad
		}
		names[i] = string(b[1 : 1+b[0]])
		b = b[1+b[0]:]
	}
	return core.Sample{Kind: core.SampleKind(names[0]), Model: names[1], Data: secret.Copy(b)}, nil
}
