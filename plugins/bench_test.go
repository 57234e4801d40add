//go:build linux

package plugins_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/keposs/keposs/internal/testenv"
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

// best is the fastest of n runs: what the code needs when nothing disturbs it.
func best(n int, run func() time.Duration) time.Duration {
	least := run()
	for range n - 1 {
		least = min(least, run())
	}
	return least
}

// A plugin call costs at most 1.2 times a plain gRPC call between two
// processes, and two sources are ready in at most 1.5 times the time of one.
func TestCostOfProcesses(t *testing.T) {
	testenv.NeedLevel(t, 1)
	const calls = 200
	timed := func(call func() error) func() time.Duration {
		return func() time.Duration {
			start := time.Now()
			for range calls {
				if err := call(); err != nil {
					t.Fatal(err)
				}
			}
			return time.Since(start) / calls
		}
	}
	bare, plugin := timed(bareCall(t)), timed(pluginCall(t))
	b, p := bare(), plugin()
	for range 20 { // in turns, so that both meet the same disturbances
		b, p = min(b, bare()), min(p, plugin())
	}
	one, two := best(8, func() time.Duration { return coldStart(t, 1) }), best(8, func() time.Duration { return coldStart(t, 2) })
	t.Logf("call: bare %v, plugin %v (%.2f); start: one %v, two %v (%.2f)", b, p, float64(p)/float64(b), one, two, float64(two)/float64(one))
	if float64(p) > 1.2*float64(b) {
		t.Errorf("a plugin call takes %v, plain gRPC %v", p, b)
	}
	if float64(two) > 1.5*float64(one) {
		t.Errorf("two sources take %v, one %v", two, one)
	}
}
