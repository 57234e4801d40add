//go:build linux

package plugins_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/keposs/keposs/plugins"
	"github.com/keposs/keposs/plugins/internal/glue"
	"github.com/keposs/keposs/plugins/internal/wire"
)

// bareEnv makes the test binary a plain gRPC server on a unix socket: what a
// plugin call is measured against.
const bareEnv = "KEPOSS_TEST_BARE"

func serveBare(path string) {
	l, err := net.Listen("unix", path)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	s := grpc.NewServer(glue.ServerOptions()...)
	if _, err := glue.Register(s, &toy{name: "echo"}); err != nil {
		os.Exit(1)
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	_ = s.Serve(l)
}

// bareCall returns one Describe over a plain unix socket to another process.
func bareCall(t testing.TB) func() error {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), bareEnv+"="+path)
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	conn, err := grpc.NewClient("unix:"+path, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	c := wire.NewSourceClient(conn)
	call := func() error {
		_, err := c.Describe(t.Context(), &wire.Empty{})
		return err
	}
	if err := call(); err != nil {
		t.Fatal(err)
	}
	return call
}

func pluginCall(t testing.TB) func() error {
	t.Helper()
	s := source(t, supervise(t, plugins.Options{}), builtin("echo"))
	call := func() error {
		_, err := s.Describe(t.Context())
		return err
	}
	if err := call(); err != nil {
		t.Fatal(err)
	}
	return call
}

func BenchmarkCall(b *testing.B) {
	for _, way := range []struct {
		name string
		make func(testing.TB) func() error
	}{{"bare-grpc", bareCall}, {"plugin", pluginCall}} {
		b.Run(way.name, func(b *testing.B) {
			call := way.make(b)
			for b.Loop() {
				if err := call(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// coldStart is the time until n fresh sources have answered, side by side.
func coldStart(t testing.TB, n int) time.Duration {
	t.Helper()
	sup := plugins.NewSupervisor(plugins.Options{})
	defer sup.Close()
	var vs []any
	for range n {
		vs = append(vs, source(t, sup, builtin("echo")))
	}
	start := time.Now()
	if err := sup.Warm(t.Context(), vs...); err != nil {
		t.Fatal(err)
	}
	return time.Since(start)
}

func BenchmarkColdStart(b *testing.B) {
	for _, n := range []int{1, 2} {
		b.Run(fmt.Sprintf("%d-sources", n), func(b *testing.B) {
			for b.Loop() {
				coldStart(b, n)
			}
		})
	}
}

// BenchmarkCostOfProcesses prints the two ratios the design bounds, each the
// median over turns in which both sides meet the same disturbances: a plugin
// call against a plain gRPC call between two processes (at most 1.2), and two
// sources ready against one (at most 1.5).
func BenchmarkCostOfProcesses(b *testing.B) {
	const calls = 100
	timed := func(call func() error) time.Duration {
		start := time.Now()
		for range calls {
			if err := call(); err != nil {
				b.Fatal(err)
			}
		}
		return time.Since(start)
	}
	bare, plugin := bareCall(b), pluginCall(b)
	var call, start []float64
	for b.Loop() {
		call = append(call, timed(plugin).Seconds()/timed(bare).Seconds())
		start = append(start, coldStart(b, 2).Seconds()/coldStart(b, 1).Seconds())
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(call), "call/bare")
	b.ReportMetric(median(start), "start2/start1")
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}
