package codec_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/escrow/api/internal/codec"
)

// update writes golden files that are missing; one that exists is never changed.
var update = flag.Bool("update", false, "write missing golden files")

func fill(b []byte, first byte) {
	for i := range b {
		b[i] = first + byte(i)
	}
}

func id(first byte) (v protocol.ID)       { fill(v[:], first); return v }
func tag(first byte) (v protocol.Tag)     { fill(v[:], first); return v }
func head(first byte) (v protocol.Head)   { fill(v[:], first); return v }
func point(first byte) (v protocol.Point) { fill(v[:], first); return v }
func hash(first byte) (v protocol.Hash)   { fill(v[:], first); return v }
func sig(first byte) (v protocol.Sig)     { fill(v[:], first); return v }

func some(n int, first byte) []byte {
	b := make([]byte, n)
	fill(b, first)
	return b
}

func tries() protocol.Tries {
	return protocol.Tries{Used: 2, Limit: 5, UnlockSeq: 7, Seq: 9, Head: head(0x30), Locked: true,
		Held:  []protocol.HeldTry{{Seq: 8, Tag: tag(1), Device: id(2)}, {Seq: 9, Tag: tag(3)}},
		Since: []protocol.SeqTag{{Seq: 9, Tag: tag(3)}}}
}

type sample struct {
	name   string
	method codec.Method
	v      any
}

var seen = protocol.Seen{Seq: 4, Head: head(0x40)}
var pubs = protocol.Pubs{Sign: point(0x50), Enc: point(0x60)}

// requests holds at least one request of every method.
func requests() []sample {
	rebind := protocol.RebindRequest{User: id(1), Gen: 3, Holder: "sheet", Challenge: hash(2), Sig: sig(3)}
	return []sample{
		{"policy", codec.Policy, &protocol.PolicyRequest{User: id(1), Seen: seen}},
		{"fetch", codec.Fetch, &protocol.FetchRequest{User: id(1), Gen: 3, Attempt: id(2), Seen: seen}},
		{"evaluate", codec.Evaluate, &protocol.EvaluateRequest{User: id(1), Gen: 3, Attempt: id(2), Blinded: point(2), WantProof: true, Seen: seen}},
		{"confirm", codec.Confirm, &protocol.ConfirmRequest{User: id(1), Gen: 3, Entries: []protocol.SeqTag{{Seq: 8, Tag: tag(1)}}, Sig: sig(9)}},
		{"prepare-init", codec.Prepare, &protocol.PrepareRequest{Init: true, NewGen: 1, Idem: id(4), Policy: some(40, 1), Sealed: some(30, 2), Pubs: pubs}},
		{"prepare-replace", codec.Prepare, &protocol.PrepareRequest{User: id(1), OldGen: 1, NewGen: 2, Idem: id(4), Policy: some(40, 1), Sealed: some(30, 2), Pubs: pubs, OPRFKey: some(32, 7)}},
		{"commit-init", codec.Commit, &protocol.CommitRequest{Idem: id(4), Proof: sig(5)}},
		{"commit-replace", codec.Commit, &protocol.CommitRequest{User: id(1), Idem: id(4), Proof: sig(5)}},
		{"status", codec.Status, &protocol.StatusRequest{User: id(1), Seen: seen}},
		{"unbind", codec.Unbind, &protocol.RemoveRequest{User: id(1), Gen: 3, Sig: sig(6)}},
		{"deregister", codec.Deregister, &protocol.RemoveRequest{User: id(1), Gen: 3, Sig: sig(6)}},
		{"challenge", codec.Challenge, &protocol.ChallengeRequest{User: id(1)}},
		{"recover-policy", codec.RecoverPolicy, &rebind},
		{"rebind", codec.Rebind, &rebind},
		{"standing", codec.Standing, &protocol.StandingRequest{User: id(1)}},
		{"challenge-none", codec.Challenge, &protocol.ChallengeRequest{}},
		{"attest", codec.Attest, &protocol.AttestRequest{Platform: "play", Token: some(70, 1), Challenge: hash(2)}},
		{"standing-none", codec.Standing, &protocol.StandingRequest{}},
	}
}

// answers holds at least one answer of every method.
func answers() []sample {
	policy := protocol.PolicyAnswer{Policy: some(50, 1), Gen: 3, Pubs: pubs, Tries: tries()}
	return []sample{
		{"policy", codec.Policy, &policy},
		{"fetch", codec.Fetch, &protocol.FetchAnswer{Sealed: some(60, 1), Seq: 9, Tries: tries()}},
		{"evaluate", codec.Evaluate, &protocol.EvaluateAnswer{Evaluated: point(2), Sealed: some(60, 1), Seq: 9, Tries: protocol.Tries{Limit: 5}}},
		{"evaluate-proof", codec.Evaluate, &protocol.EvaluateAnswer{Evaluated: point(2), Proof: some(64, 3), Sealed: some(60, 1), Seq: 9, Tries: tries()}},
		{"confirm", codec.Confirm, &protocol.ConfirmAnswer{Tries: tries()}},
		{"prepare", codec.Prepare, &protocol.PrepareAnswer{Expires: 1_800_000_000}},
		{"commit", codec.Commit, &protocol.CommitAnswer{User: id(1), Gen: 2}},
		{"status", codec.Status, &protocol.StatusAnswer{Gen: 2, Mode: protocol.ModeHardened, Tries: tries(), AutoSeal: true, Pending: true,
			Reads: []protocol.Read{{Unix: 1_800_000_000, Device: id(8)}}, ServerNow: 1_800_000_001}},
		{"unbind", codec.Unbind, &codec.Nothing{}},
		{"deregister", codec.Deregister, &codec.Nothing{}},
		{"challenge", codec.Challenge, &protocol.ChallengeAnswer{Challenge: hash(4)}},
		{"recover-policy", codec.RecoverPolicy, &policy},
		{"rebind", codec.Rebind, &codec.Nothing{}},
		{"attest", codec.Attest, &codec.Nothing{}},
		{"standing", codec.Standing, &protocol.StandingAnswer{Revoked: true, User: protocol.KeptRemoved}},
	}
}

var failures = []sample{
	{"refused", codec.Fetch, &core.Error{Code: core.Refused, Op: "sscc: fetch", Msg: "refused"}},
	{"throttled", codec.Policy, &core.Error{Code: core.Throttled, Op: "sscc: policy", Msg: "too many requests", After: 1500 * time.Millisecond}},
}

// golden compares b with a file and returns the file's bytes.
func golden(t *testing.T, kind, name string, b []byte) []byte {
	t.Helper()
	path := filepath.Join("..", "..", "testdata", "v1", kind+"-"+name+".hex")
	want, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) && *update {
		want = []byte(hex.EncodeToString(b) + "\n")
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		err = os.WriteFile(path, want, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	file, err := hex.DecodeString(strings.TrimSpace(string(want)))
	if err != nil {
		t.Fatal(err)
	}
	if b != nil && !bytes.Equal(file, b) {
		t.Errorf("%s: version 1 changed\n got %x\nfile %x", path, b, file)
	}
	return file
}

// Every message of version 1 has its bytes fixed in a file, which must parse
// for ever.
func TestGolden(t *testing.T) {
	methods := map[codec.Method]int{}
	for _, s := range requests() {
		methods[s.method] |= 1
		b, err := codec.MarshalRequest(s.method, s.v)
		if err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		m, v, err := codec.ParseRequest(golden(t, "request", s.name, b))
		if err != nil || m != s.method || !reflect.DeepEqual(v, s.v) {
			t.Errorf("request %s: %v\n got %+v\nwant %+v", s.name, err, v, s.v)
		}
	}
	for _, s := range answers() {
		methods[s.method] |= 2
		b, err := codec.MarshalAnswer(s.method, s.v)
		if err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		v, peer, err := codec.ParseAnswer(s.method, golden(t, "answer", s.name, b))
		if err != nil || peer != nil || !reflect.DeepEqual(v, s.v) {
			t.Errorf("answer %s: %v %v\n got %+v\nwant %+v", s.name, err, peer, v, s.v)
		}
	}
	for _, s := range failures {
		b := codec.MarshalError(s.method, s.v.(error))
		_, peer, err := codec.ParseAnswer(s.method, golden(t, "error", s.name, b))
		if err != nil || !reflect.DeepEqual(peer, s.v) {
			t.Errorf("error %s: %v\n got %+v\nwant %+v", s.name, err, peer, s.v)
		}
	}
	for _, m := range codec.Methods() {
		if methods[m] != 3 {
			t.Errorf("%s has no golden request or no golden answer", m)
		}
	}
}

// A body cut anywhere, or with a byte more, is refused.
func TestCutAndLong(t *testing.T) {
	for _, s := range requests() {
		b, _ := codec.MarshalRequest(s.method, s.v)
		for n := range b {
			if _, _, err := codec.ParseRequest(b[:n]); err == nil {
				t.Fatalf("request %s cut to %d of %d bytes parses", s.name, n, len(b))
			}
		}
		if _, _, err := codec.ParseRequest(append(b, 0)); !errors.Is(err, core.Invalid) {
			t.Errorf("request %s with a byte more: %v", s.name, err)
		}
	}
	for _, s := range answers() {
		b, _ := codec.MarshalAnswer(s.method, s.v)
		for n := range b {
			if _, _, err := codec.ParseAnswer(s.method, b[:n]); err == nil {
				t.Fatalf("answer %s cut to %d of %d bytes parses", s.name, n, len(b))
			}
		}
		if _, _, err := codec.ParseAnswer(s.method, append(b, 0)); !errors.Is(err, core.Invalid) {
			t.Errorf("answer %s with a byte more: %v", s.name, err)
		}
	}
}

func TestRules(t *testing.T) {
	for _, c := range []struct {
		name string
		m    codec.Method
		v    any
		want core.Code
	}{
		{"zero user", codec.Policy, &protocol.PolicyRequest{}, core.Invalid},
		{"zero attempt", codec.Fetch, &protocol.FetchRequest{User: id(1)}, core.Invalid},
		{"init with a user", codec.Prepare, &protocol.PrepareRequest{Init: true, User: id(1), Idem: id(2)}, core.Invalid},
		{"replacement without a user", codec.Prepare, &protocol.PrepareRequest{Idem: id(2)}, core.Invalid},
		{"policy above its bound", codec.Prepare, &protocol.PrepareRequest{Init: true, Idem: id(2), Policy: make([]byte, protocol.MaxPolicy+1)}, core.Invalid},
		{"short oprf key", codec.Prepare, &protocol.PrepareRequest{Init: true, Idem: id(2), OPRFKey: make([]byte, 31)}, core.Invalid},
		{"11 entries", codec.Confirm, &protocol.ConfirmRequest{User: id(1), Entries: make([]protocol.SeqTag, 11)}, core.Invalid},
		{"not a message", codec.Policy, 5, core.Usage},
	} {
		if _, err := codec.MarshalRequest(c.m, c.v); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
	for name, b := range map[string][]byte{"version 2": {2, 1}, "method 0": {1, 0}, "method 200": {1, 200}} {
		if _, _, err := codec.ParseRequest(b); !errors.Is(err, core.Unsupported) {
			t.Errorf("%s: %v, want unsupported", name, err)
		}
	}
	b, _ := codec.MarshalAnswer(codec.Unbind, &codec.Nothing{})
	if _, _, err := codec.ParseAnswer(codec.Deregister, b); !errors.Is(err, core.Invalid) {
		t.Errorf("the answer to another method: %v", err)
	}
}

// The largest request and answer the rules allow fit.
func TestLargestFit(t *testing.T) {
	big := tries()
	big.Since = make([]protocol.SeqTag, 4096)
	big.Held = make([]protocol.HeldTry, protocol.MaxHeld)
	b, err := codec.MarshalAnswer(codec.Policy, &protocol.PolicyAnswer{Policy: make([]byte, protocol.MaxPolicy), Tries: big})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := codec.ParseAnswer(codec.Policy, b); err != nil {
		t.Error(err)
	}
	b, err = codec.MarshalRequest(codec.Prepare, &protocol.PrepareRequest{Init: true, Idem: id(1), Policy: make([]byte, protocol.MaxPolicy),
		Sealed: make([]byte, protocol.MaxSealed), OPRFKey: make([]byte, protocol.OPRFSize)})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := codec.ParseRequest(b); err != nil {
		t.Error(err)
	}
}

// A length field cannot make the parser take memory: 2^32−1 bytes and 65535
// items are refused by their bound.
// req: G-7.3-05
func TestLengthsBeforeMemory(t *testing.T) {
	huge := append([]byte{1, byte(codec.Prepare), 1}, make([]byte, 16+8+8)...)
	huge = append(huge, some(16, 1)...)
	huge = append(huge, 0xff, 0xff, 0xff, 0xff)
	many := append([]byte{1, byte(codec.Confirm)}, some(16, 1)...)
	many = append(many, make([]byte, 8)...)
	many = append(many, 0xff, 0xff)
	for name, b := range map[string][]byte{"bytes": huge, "items": many} {
		n := testing.AllocsPerRun(10, func() {
			if _, _, err := codec.ParseRequest(b); !errors.Is(err, core.Invalid) {
				t.Errorf("%s: %v", name, err)
			}
		})
		if n > 20 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// Only code, op, message and after leave; causes and what disturbs a terminal
// do not.
func TestErrorsOutward(t *testing.T) {
	cause := errors.New("/var/lib/keposs/db: no space left")
	e := &core.Error{Code: core.Exhausted, Op: "sscc: commit", Msg: "the store\x1b[31m is full\n", After: -1, Err: cause}
	b := codec.MarshalError(codec.Commit, e)
	_, got, err := codec.ParseAnswer(codec.Commit, b)
	want := &core.Error{Code: core.Exhausted, Op: "sscc: commit", Msg: "the store[31m is full "}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
	if bytes.Contains(b, []byte("/var/lib")) {
		t.Error("the cause leaves the server")
	}
	for _, code := range core.Codes() {
		_, got, err := codec.ParseAnswer(codec.Fetch, codec.MarshalError(codec.Fetch, core.Errorf(code, "op", "msg")))
		if err != nil || got.Code != code {
			t.Errorf("%s came back as %v, %v", code, got, err)
		}
	}
	if got := codec.Inward(&core.Error{Code: 999}); got.Code != core.Internal {
		t.Errorf("an unknown code is read as %s", got.Code)
	}
	long := codec.MarshalError(codec.Fetch, core.Errorf(core.Invalid, strings.Repeat("o", 999), "%s", strings.Repeat("é", 9999)))
	if _, got, err := codec.ParseAnswer(codec.Fetch, long); err != nil || len(got.Op) > codec.MaxOp || len(got.Msg) > codec.MaxMsg {
		t.Errorf("long texts: %v", err)
	}
}

// What parses marshals back to the same bytes.
// req: TK-12, G-7.3-05
func FuzzRequest(f *testing.F) {
	for _, s := range requests() {
		b, _ := codec.MarshalRequest(s.method, s.v)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, v, err := codec.ParseRequest(b)
		if err != nil {
			if v != nil {
				t.Error("an error came with a message")
			}
			return
		}
		again, err := codec.MarshalRequest(m, v)
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%v\n got %x\nwant %x", err, again, b)
		}
	})
}

// req: TK-12
func FuzzAnswer(f *testing.F) {
	for _, s := range answers() {
		b, _ := codec.MarshalAnswer(s.method, s.v)
		f.Add(byte(s.method), b)
	}
	for _, s := range failures {
		f.Add(byte(s.method), codec.MarshalError(s.method, s.v.(error)))
	}
	f.Fuzz(func(t *testing.T, method byte, b []byte) {
		m := codec.Method(method)
		v, peer, err := codec.ParseAnswer(m, b)
		if err != nil {
			if v != nil || peer != nil {
				t.Error("an error came with a message")
			}
			return
		}
		if peer != nil {
			return // text is cleaned on its way out, so only the parse is strict
		}
		again, err := codec.MarshalAnswer(m, v)
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%v\n got %x\nwant %x", err, again, b)
		}
	})
}
