package bench

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/keposs/keposs/core"
)

// order asks the driver for one measurement.
type order struct {
	Kind string `json:"kind"`
	MS   int64  `json:"ms"`
}

func clientTLS(ca string) (*tls.Config, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(ca)) {
		return nil, core.Errorf(core.Invalid, "lab escrow", "no certificate authority")
	}
	return &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS13}, nil
}

// Part is what this program does in another process of a measurement: "echo" or
// "drive". It ends when in ends.
func Part(ctx context.Context, name string, in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	var first map[string]string
	if !lines.Scan() || json.Unmarshal(lines.Bytes(), &first) != nil {
		return core.Errorf(core.Usage, "lab escrow", "a part of a measurement is told what to do")
	}
	switch name {
	case "echo":
		srv, err := serveEcho(ctx, first["socket"], first["cert"], first["key"])
		if err != nil {
			return err
		}
		defer srv.Stop()
		fmt.Fprintln(out, "{}")
		for lines.Scan() {
		}
		return nil
	case "drive":
		return drive(ctx, first["address"], first["ca"], lines, out)
	default:
		return core.Errorf(core.Usage, "lab escrow", "no part %.20q", name)
	}
}

// conns is how many connections the callers share.
const conns = 4

func drive(ctx context.Context, address, ca string, lines *bufio.Scanner, out io.Writer) error {
	cfg, err := clientTLS(ca)
	if err != nil {
		return err
	}
	ccs := make([]*grpc.ClientConn, conns)
	for i := range ccs {
		if ccs[i], err = grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(cfg))); err != nil {
			return core.Errorf(core.Environment, "lab escrow", "%w", err)
		}
		defer ccs[i].Close()
	}
	fmt.Fprintln(out, "{}")
	for lines.Scan() {
		var o order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil || paths[o.Kind] == "" {
			return core.Errorf(core.Usage, "lab escrow", "no such measurement")
		}
		x, err := calls(ctx, ccs, paths[o.Kind], time.Duration(o.MS)*time.Millisecond)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if err := json.NewEncoder(out).Encode(map[string]any{"rate": x.rate, "p99": x.p99, "err": text}); err != nil {
			return core.Errorf(core.Environment, "lab escrow", "%w", err)
		}
	}
	return nil
}

// calls asks at once for a while; an eighth of it before is not counted.
func calls(ctx context.Context, ccs []*grpc.ClientConn, path string, slice time.Duration) (sample, error) {
	var stop, counted atomic.Bool
	var wg sync.WaitGroup
	took := make([][]time.Duration, callers)
	errs := make([]error, callers)
	for i := range callers {
		wg.Go(func() {
			in := &wrapperspb.BytesValue{Value: make([]byte, 8)}
			for n := uint64(i) * 7919; !stop.Load(); n++ {
				binary.BigEndian.PutUint64(in.Value, n)
				t := time.Now()
				if errs[i] = ccs[i%conns].Invoke(ctx, path, in, &wrapperspb.BytesValue{}); errs[i] != nil {
					return
				}
				if counted.Load() {
					took[i] = append(took[i], time.Since(t))
				}
			}
		})
	}
	time.Sleep(slice / 8)
	counted.Store(true)
	begun := time.Now()
	time.Sleep(slice)
	stop.Store(true)
	wg.Wait()
	return summary(took, errs, time.Since(begun))
}
