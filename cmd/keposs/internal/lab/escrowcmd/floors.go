package escrowcmd

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/keposs/keposs/cmd/keposs/internal/lab/escrowcmd/bench"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/sm"
)

// Floors are limit programs of the same run: what each part of a try costs the
// processor when nothing else is done, in microseconds, medians over the
// rounds.
type Floors struct {
	EchoEach float64 `json:"echo_each"` // a bare gRPC echo, a connection for each terminal, messages of a try's length
	Commit   float64 `json:"commit"`    // a durable commit of a record of a counter's length, as many callers at once
	Lane     float64 `json:"lane_mult"` // a scalar multiplication, as many at once
	Sealing  float64 `json:"sealing"`   // SM3, SM4 and random bytes of opening the request, sealing record and answer
}

// Lengths in bytes of a try with its ticket as it travels, and of its answer
// with half of ten tries held.
const (
	askedBytes    = 390
	answeredBytes = 530
)

const (
	echoMethod     = "/keposs.lab.Echo/Echo"
	echoLongMethod = "/keposs.lab.Echo/EchoLong"
)

// echoService answers with what it was sent, or with as much as a try is
// answered with: gRPC and TLS and nothing else.
var echoService = grpc.ServiceDesc{ServiceName: "keposs.lab.Echo", HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{
	{MethodName: "Echo", Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		in := &wrapperspb.BytesValue{}
		return in, decode(in)
	}},
	{MethodName: "EchoLong", Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		in := &wrapperspb.BytesValue{}
		err := decode(in)
		in.Value = append(in.Value, make([]byte, answeredBytes-askedBytes)...)
		return in, err
	}},
}}

// A writer commits to records of its own beside those of SS-CC.
type writer struct {
	store    core.Backend
	versions [users]core.Version
}

func (w *writer) key(i int) core.Key { return core.Key("lab escrow floor " + string(rune('A'+i))) }

// newWriter makes the records.
func newWriter(ctx context.Context, store core.Backend) (*writer, error) {
	w := &writer{store: store}
	for i := range w.versions {
		if err := w.commit(ctx, i, core.OpPut); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func (w *writer) commit(ctx context.Context, i int, op core.Op) error {
	m := core.Mutation{Key: w.key(i), Op: op, Expect: w.versions[i], Hot: make([]byte, core.MaxHot)}
	binary.BigEndian.PutUint64(m.Hot, uint64(m.Expect))
	res, err := w.store.CommitMany(ctx, []core.Mutation{m})
	if err == nil {
		err = res[0].Err
	}
	if err == nil {
		w.versions[i] = res[0].Version
	}
	return err
}

// round commits limit times for every user at once and returns the processor
// time of one commit, in µs.
func (w *writer) round(ctx context.Context) (float64, error) {
	errs := make([]error, users)
	var wg sync.WaitGroup
	before := bench.CPU()
	for i := range users {
		wg.Go(func() {
			for range limit {
				if errs[i] = w.commit(ctx, i, core.OpPutHot); errs[i] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return float64((bench.CPU() - before).Nanoseconds()) / (users * limit) / 1e3, errors.Join(errs...)
}

// lane is the processor time of one of many multiplications asked for
// together, in µs.
func lane() float64 {
	var ks [users][32]byte
	var ps [users]*sm.Product
	for i := range ps {
		ks[i] = [32]byte{1, 2, 3, 31: byte(i + 1)}
		ps[i] = &sm.Product{K: &ks[i]}
	}
	before := bench.CPU()
	for range limit {
		sm.Products(ps[:]...)
	}
	return float64((bench.CPU() - before).Nanoseconds()) / (users * limit) / 1e3
}

// sealing is the processor time of a try's symmetric cryptography, in µs.
func sealing() (float64, error) {
	const overhead, ticket = 56, 222
	key, iv := make([]byte, 32), make([]byte, 48)
	request, answer, record := make([]byte, askedBytes-ticket), make([]byte, answeredBytes), make([]byte, core.MaxHot)
	before := bench.CPU()
	for range users * limit {
		for _, of := range [][]byte{request, answer, record} {
			sm.HMAC(key, of)
			if err := sm.CTR(key[:16], iv[:16], of[overhead:], of[overhead:]); err != nil {
				return 0, err
			}
		}
		sm.SM3(request) // the answer is bound to it
		for range 3 {   // the try's tag, the counter's head
			sm.SM3(iv)
		}
		for _, n := range []int{16, 32} { // the answer's iv; the record's and its request id
			if _, err := sm.Rand().Read(iv[:n]); err != nil {
				return 0, err
			}
		}
	}
	return float64((bench.CPU() - before).Nanoseconds()) / (users * limit) / 1e3, nil
}
