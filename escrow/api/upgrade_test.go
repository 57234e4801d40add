package api_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/escrow/api"
)

// later is a replica of the next version: it knows fields this one does not, in
// every message both ways, and says that it speaks protocol 2 as well.
type later struct {
	to   *grpc.ClientConn
	addr string
	srv  *grpc.Server
	seen atomic.Int64 // messages with an added field
}

// unknownField is a field no message of this version has.
var unknownField = protowire.AppendBytes(protowire.AppendTag(nil, 3000, protowire.BytesType), []byte("of a later version"))

func newLater(t testing.TB, s *station) *later {
	t.Helper()
	cert := pair(t, s)
	l := &later{to: s.bare()}
	l.srv = grpc.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(&cert)), grpc.ForceServerCodecV2(raw{}), grpc.UnknownServiceHandler(l.forward))
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	s.must(err)
	l.addr = lis.Addr().String()
	go func() { _ = l.srv.Serve(lis) }()
	t.Cleanup(l.srv.Stop)
	return l
}

// raw passes messages as they are.
type raw struct{}

func (raw) Name() string { return "proto" }
func (raw) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}
func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

func (l *later) forward(_ any, in grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(in)
	ctx, cancel := context.WithCancel(in.Context())
	defer cancel()
	out, err := l.to.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method, grpc.ForceCodecV2(raw{}))
	if err != nil {
		return err
	}
	go func() {
		for {
			var m []byte
			if in.RecvMsg(&m) != nil {
				_ = out.CloseSend()
				return
			}
			m = append(m, unknownField...)
			if out.SendMsg(&m) != nil {
				return
			}
		}
	}()
	for {
		var m []byte
		if err := out.RecvMsg(&m); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		m = append(m, unknownField...)
		if method == "/keposs.sscc.v1.Info/Info" {
			m = protowire.AppendVarint(protowire.AppendTag(m, 2, protowire.VarintType), 2) // newest
		}
		l.seen.Add(1)
		if err := in.SendMsg(&m); err != nil {
			return err
		}
	}
}

// front is the operator's address: new connections go where it points.
type front struct {
	addr string
	to   atomic.Pointer[string]
}

func newFront(t testing.TB, to string) *front {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	f := &front{addr: l.Addr().String()}
	f.to.Store(&to)
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer in.Close()
				out, err := net.Dial("tcp", *f.to.Load())
				if err != nil {
					return
				}
				defer out.Close()
				go func() { _, _ = io.Copy(out, in); _ = out.(*net.TCPConn).CloseWrite() }()
				_, _ = io.Copy(in, out)
			}()
		}
	}()
	return f
}

func (f *front) point(addr string) { f.to.Store(&addr) }

// Replicas of this version and the next serve side by side over one database and
// are exchanged one by one, each drained first, while terminals sign: no sign
// fails, no try is counted twice, and both know every user.
func TestRollingUpgrade(t *testing.T) {
	t.Parallel()
	old := newStation(t, nil)
	f := newFront(t, old.addr)
	var stop atomic.Bool
	var signs atomic.Int64
	var wg sync.WaitGroup
	ms := make([]*mstcc.Module, 4)
	for i := range ms {
		p := old.phone()
		p.peer.Endpoint = f.addr
		ms[i], _ = p.initialise([]protocol.Mode{protocol.ModePlain, protocol.ModeHardened}[i%2])
	}
	for _, m := range ms {
		wg.Go(func() {
			for !stop.Load() {
				if _, _, err := m.Sign(bg, []byte("m"), nil, mstcc.OpenOptions{}, types("right")); err != nil {
					t.Errorf("sign %d: %v", signs.Load(), err)
					return
				}
				signs.Add(1)
			}
		})
	}
	more := func() {
		t.Helper()
		want := signs.Load() + 8
		for deadline := time.Now().Add(30 * time.Second); signs.Load() < want && !t.Failed(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("terminals do not sign any more")
			}
		}
	}
	more()
	inner := old.replica() // what runs behind the next version's front
	next := newLater(t, inner)
	f.point(next.addr)
	more() // side by side: connections that were there stay with the old one
	old.down()
	more()
	if next.seen.Load() == 0 {
		t.Error("nobody was served by the next version")
	}
	a, err := api.DialAdmin(bg, next.addr, string(old.cert.CAPEM))
	old.must(err)
	defer a.Close()
	info, err := a.Info(bg)
	old.must(err)
	if info.Newest != 2 || info.Oldest != 1 || !info.SetUp {
		t.Errorf("the next version tells %+v", info)
	}
	// And back: an upgrade that is undone.
	old.boot()
	old.must(old.core.Unseal(bg, password()))
	old.listen("127.0.0.1:0")
	f.point(old.addr)
	next.srv.GracefulStop()
	more()
	stop.Store(true)
	wg.Wait()
	for _, m := range ms {
		st, err := m.Status(bg, true)
		old.must(err)
		if st.Alarm || st.Server == nil || st.Server.Tries.Used != 0 {
			t.Errorf("after the upgrades: alarm %v, server %+v", st.Alarm, st.Server)
		}
	}
	t.Logf("%d signs, %d messages of the next version", signs.Load(), next.seen.Load())
}
