package glue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/plugins/internal/wire"
)

// tap keeps every message of a connection as it goes over the wire.
type tap struct {
	mu   sync.Mutex
	data []byte
}

func (t *tap) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (t *tap) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (t *tap) HandleConn(context.Context, stats.ConnStats)                       {}
func (t *tap) HandleRPC(_ context.Context, s stats.RPCStats) {
	var m any
	switch s := s.(type) {
	case *stats.InPayload:
		m = s.Payload
	case *stats.OutPayload:
		m = s.Payload
	default:
		return
	}
	b, err := proto.Marshal(m.(proto.Message))
	if err != nil {
		return
	}
	t.mu.Lock()
	t.data = append(t.data, b...)
	t.mu.Unlock()
}

// mirror is a source whose secret is its sample; fail is what it errs with.
type mirror struct{ fail error }

func (mirror) Describe(context.Context) (core.SourceInfo, error) {
	return core.SourceInfo{Name: "mirror", Format: 1}, nil
}
func (mirror) Configure(context.Context, core.Config) error { return nil }
func (m mirror) Enroll(ctx context.Context, r core.EnrollRequest, p core.Prompter) (core.Enrollment, error) {
	if m.fail != nil {
		return core.Enrollment{}, m.fail
	}
	a, err := p.Ask(ctx, core.Prompt{Label: r.Label, Index: 1, Total: 1})
	if err != nil {
		return core.Enrollment{}, fmt.Errorf("mirror: %w", err)
	}
	return core.Enrollment{Secret: a.Data, Helper: []byte("public helper"), Format: 1}, nil
}
func (m mirror) Capture(context.Context, core.CaptureRequest, core.Prompter) (core.Capture, error) {
	return nil, core.Unsupported
}

// req: X-04, G-7.9-07, K-5.3-02d, K-15.4-00, K-15.3-00
func TestNoSecretOnTheWire(t *testing.T) {
	wireTap := &tap{}
	h, end, err := Local(t.Context(), mirror{}, grpc.WithStatsHandler(wireTap))
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	const pin, key, token = "the-pin-8241", "0123456789abcdef0123456789abcdef", "sealed-token"
	s := h.Source()
	err = s.Configure(t.Context(), core.Config{Secrets: map[string]*secret.Buffer{"t": secret.Copy([]byte(token))}})
	if err != nil {
		t.Fatal(err)
	}
	e, err := s.Enroll(t.Context(), core.EnrollRequest{Label: "label-seen", BindKey: secret.Copy([]byte(key))},
		core.PrompterFunc(func(context.Context, core.Prompt) (core.Sample, error) {
			return core.NewSample(core.SamplePIN, []byte(pin)), nil
		}))
	if err != nil || string(e.Secret.Bytes()) != pin {
		t.Fatal(err)
	}
	if !bytes.Contains(wireTap.data, []byte("label-seen")) || !bytes.Contains(wireTap.data, []byte("public helper")) {
		t.Fatal("the tap hears nothing")
	}
	for _, s := range []string{pin, key, token} {
		if bytes.Contains(wireTap.data, []byte(s)) {
			t.Errorf("%q goes over the wire in plain", s)
		}
	}
	if !h.Sealed() {
		t.Error("the connection does not count as sealed")
	}
}

// A plugin that cannot seal is served, and is seen to be one.
func TestPlainIsSeen(t *testing.T) {
	h, end, err := Local(t.Context(), mirror{})
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	if _, err := h.link.in("x", &wire.Secret{Form: &wire.Secret_Plain{Plain: []byte("p")}}); err != nil {
		t.Fatal(err)
	}
	if h.Sealed() {
		t.Error("a plain secret went unnoticed")
	}
}

func TestEveryCodeSurvives(t *testing.T) {
	for _, c := range core.Codes() {
		want := &core.Error{Code: c, Op: "op", Msg: "what failed", Current: 7, After: 3 * time.Second}
		for name, got := range map[string]error{
			"frame":  errorIn(errorOut(fmt.Errorf("wrapped: %w", want))),
			"status": statusIn(t.Context(), "call", statusOut(want), reads),
			"writes": statusIn(t.Context(), "call", statusOut(want), writes),
		} {
			var e *core.Error
			if !errors.As(got, &e) || *e != *want {
				t.Errorf("%v by %s: %#v", c, name, got)
			}
		}
		if _, ok := table[c]; !ok {
			t.Errorf("%v is not in the table", c)
		}
		h, end, err := Local(t.Context(), mirror{fail: want})
		if err != nil {
			t.Fatal(err)
		}
		_, err = h.Source().Enroll(t.Context(), core.EnrollRequest{}, nil)
		var e *core.Error
		if !errors.As(err, &e) || *e != *want {
			t.Errorf("%v by stream: %#v", c, err)
		}
		_ = end()
	}
	if got := errorIn(&wire.Error{Code: 9999}); got.Code != core.Internal {
		t.Errorf("a code of a newer list: %v", got.Code)
	}
	if got := errorIn(&wire.Error{Msg: "a\x1b[2Jb\n" + strings.Repeat("é", 2000)}); strings.ContainsAny(got.Msg, "\x1b\n") || len(got.Msg) > maxMsg {
		t.Errorf("a hostile message arrives as %.40q, %d bytes", got.Msg, len(got.Msg))
	}
}

func TestBrokenWritesAreIndeterminate(t *testing.T) {
	for c, core1 := range bare {
		err := statusIn(t.Context(), "x", status.Error(c, "x"), writes)
		switch core1 {
		case core.Unavailable, core.Timeout, core.Canceled, core.Internal:
			if core.CodeOf(err) != core.Indeterminate {
				t.Errorf("%v of a write reads %v", c, core.CodeOf(err))
			}
		default:
			if core.CodeOf(err) != core1 {
				t.Errorf("%v reads %v", c, core.CodeOf(err))
			}
		}
	}
}

func TestPrompterErrorKeepsItsCause(t *testing.T) {
	h, end, err := Local(t.Context(), mirror{})
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	mine := errors.New("the window was closed")
	_, err = h.Source().Enroll(t.Context(), core.EnrollRequest{}, core.PrompterFunc(func(context.Context, core.Prompt) (core.Sample, error) {
		return core.Sample{}, core.Errorf(core.Canceled, "ui", "%w", mine)
	}))
	if !errors.Is(err, mine) || core.CodeOf(err) != core.Canceled {
		t.Fatal(err)
	}
}

// store is a backend that holds what it is given, by key, and nothing more.
type store struct {
	core.Backend
	mu    sync.Mutex
	calls int
	recs  map[string]core.Record
	fail  int // from this CommitMany on, fail
}

func (s *store) Describe(context.Context) (core.BackendInfo, error) {
	return core.BackendInfo{Name: "store"}, nil
}
func (s *store) Close() error { return nil }
func (s *store) CommitMany(_ context.Context, ms []core.Mutation) ([]core.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls++; s.fail > 0 && s.calls >= s.fail {
		return nil, core.Errorf(core.Unavailable, "store", "down")
	}
	out := make([]core.Result, len(ms))
	for i, m := range ms {
		s.recs[string(m.Key)] = core.Record{Key: bytes.Clone(m.Key), Version: 1, Hot: bytes.Clone(m.Hot), Blob: bytes.Clone(m.Blob), ReqID: m.ReqID}
		out[i].Version = 1
	}
	return out, nil
}
func (s *store) GetMany(_ context.Context, keys []core.Key, _ core.ReadOpts) ([]core.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	out := make([]core.Record, len(keys))
	for i, k := range keys {
		out[i] = s.recs[string(k)]
	}
	return out, nil
}

// The largest batches of the contract are 64 MiB; a message is 4.
func TestBatchesLargerThanAMessage(t *testing.T) {
	s := &store{recs: map[string]core.Record{}}
	h, end, err := Local(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	b := h.Backend()
	var ms []core.Mutation
	var keys []core.Key
	for i := range core.MaxBatch {
		k := core.Key(fmt.Sprintf("key-%04d", i))
		keys = append(keys, k)
		ms = append(ms, core.Mutation{Key: k, Op: core.OpPut, Hot: []byte{byte(i)}, Blob: bytes.Repeat([]byte{byte(i)}, core.MaxBlob), ReqID: core.ReqID{1}})
	}
	res, err := b.CommitMany(t.Context(), ms)
	if err != nil || len(res) != len(ms) || s.calls < 16 {
		t.Fatalf("%d results, %d calls: %v", len(res), s.calls, err)
	}
	recs, err := b.GetMany(t.Context(), keys, core.ReadOpts{})
	if err != nil || len(recs) != len(keys) {
		t.Fatalf("%d records: %v", len(recs), err)
	}
	for i, r := range recs {
		if !bytes.Equal(r.Blob, ms[i].Blob) || !bytes.Equal(r.Key, keys[i]) {
			t.Fatalf("record %d is another's", i)
		}
	}
	s.fail, s.calls = 3, 0
	res, err = b.CommitMany(t.Context(), ms)
	if err != nil || len(res) != len(ms) {
		t.Fatalf("%d results: %v", len(res), err)
	}
	if res[0].Err != nil || core.CodeOf(res[len(res)-1].Err) != core.Unavailable {
		t.Fatalf("first %v, last %v", res[0].Err, res[len(res)-1].Err)
	}
	if s.calls != 3 {
		t.Fatalf("%d calls after a failure", s.calls)
	}
}

func FuzzErrorIn(f *testing.F) {
	f.Add([]byte{})
	seed, _ := proto.Marshal(&wire.Error{Code: 9, Op: "x", Msg: "y", Current: 3, AfterNs: -1})
	f.Add(seed)
	f.Fuzz(func(t *testing.T, b []byte) {
		var m wire.Error
		if proto.Unmarshal(b, &m) != nil {
			return
		}
		e := errorIn(&m)
		if e.Code == core.Unknown || e.After < 0 || len(e.Op) > maxOp || len(e.Msg) > maxMsg {
			t.Fatalf("%#v", e)
		}
	})
}
