package check

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	plugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/escrow/memory"
	"github.com/keposs/keposs/kdf/pbkdf2sm3"
	"github.com/keposs/keposs/plugins"
	"github.com/keposs/keposs/plugins/internal/glue"
	"github.com/keposs/keposs/plugins/internal/launch"
	"github.com/keposs/keposs/ppd/pin"
	"github.com/keposs/keposs/ppd/ppdtest"
)

// The zoo: plugins with one fault each. Every one is this test binary under the
// fault's name, and the case beside it must catch it.
var zoo = []struct{ kind, fault, caught string }{
	// programs
	{plugins.KindSensor, "silent", "Handshake"},
	{plugins.KindSensor, "banner", "Handshake"},
	{plugins.KindSensor, "old-protocol", "Handshake"},
	{plugins.KindSensor, "no-certificate", "Handshake"},
	{plugins.KindSensor, "exits", "Handshake"},
	{plugins.KindSensor, "by-hand", "NeedsCookie"},
	{plugins.KindSensor, "anyone", "OnlyTheHost"},
	{plugins.KindSensor, "unhealthy", "Health"},
	{plugins.KindSensor, "no-life-line", "LifeLine"},
	{plugins.KindSensor, "stays", "Shutdown"},
	{plugins.KindSensor, "noisy", "QuietStdout"},
	{plugins.KindSensor, "children", "NoOrphans"},
	{plugins.KindSensor, "misnamed", "Describe"},
	{plugins.KindSensor, "lax", "ErrorCodes"},
	// sensors
	{plugins.KindSensor, "kindless", "SensorDescribes"},
	{plugins.KindSensor, "modelless", "SensorDescribes"},
	{plugins.KindSensor, "other-model", "SensorModel"},
	{plugins.KindSensor, "other-kind", "SensorSamples"},
	{plugins.KindSensor, "empty", "SensorSamples"},
	{plugins.KindSensor, "no-embedding", "SensorSamples"},
	{plugins.KindSensor, "huge", "SensorSamples"},
	{plugins.KindSensor, "crashes", "SensorSamples"},
	{plugins.KindSensor, "hangs", "SensorSamples"},
	{plugins.KindSensor, "takes-all", "SensorRefusesKinds"},
	// sources
	{plugins.KindSource, "constant", "AlwaysASecret"},
	{plugins.KindSource, "oracle", "AlwaysASecret"},
	{plugins.KindSource, "forgets", "RoundTrip"},
	{plugins.KindSource, "dies", "RoundTrip"},
	{plugins.KindSource, "100-mb", "RoundTrip"},
	{plugins.KindSource, "tag", "HelperHoldsNoSecret"},
	{plugins.KindSource, "growing", "HelperFixedLength"},
	{plugins.KindSource, "boasts", "StrengthHonest"},
	{plugins.KindSource, "slow-refusal", "AnswerTime"},
	{plugins.KindSource, "narrow", "StrengthMeasured"},
	// KDFs
	{plugins.KindKDF, "unbounded", "HostileValues"},
	{plugins.KindKDF, "saltless", "Avalanche"},
	{plugins.KindKDF, "random", "DeterministicAndLent"},
	{plugins.KindKDF, "costless", "ParametersMatter"},
	// backends
	{plugins.KindBackend, "loses", "PutGet"},
	{plugins.KindBackend, "agrees", "LosersConflict"},
}

// zooEnv tells the test binary which fault to have.
const zooEnv = "KEPOSS_TEST_ZOO"

// Each fault is caught by name.
func TestZoo(t *testing.T) {
	linux(t)
	t.Parallel()
	names := map[string]bool{}
	for _, animal := range zoo {
		names[animal.fault] = true
	}
	if len(names) < 20 {
		t.Fatalf("%d animals, want 20", len(names))
	}
	for _, animal := range zoo {
		t.Run(animal.fault, func(t *testing.T) {
			t.Parallel()
			target := Target{Path: os.Args[0], Kind: animal.kind, Env: append([]string{zooEnv + "=" + animal.fault}, noLinger...), Level: 1}
			if animal.kind == plugins.KindSensor {
				target.Name = animal.fault
			}
			if animal.caught == "StrengthMeasured" {
				target.Samples = typedPINs(t)
			}
			if animal.kind == plugins.KindBackend {
				target.Config = map[string]string{"path": "{dir}/log"}
			}
			all := Protocol()
			if !slices.ContainsFunc(all, func(c Case) bool { return c.Name == animal.caught }) {
				all = kit(t.Context(), target)
			}
			i := slices.IndexFunc(all, func(c Case) bool { return c.Name == animal.caught })
			if i < 0 {
				t.Fatalf("there is no case %s among %d", animal.caught, len(all))
			}
			patience := time.Minute
			if animal.fault == "hangs" {
				patience = 5 * time.Second // instead of the case's own 20 s
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			err := all[i].Run(ctx, target)
			if _, skipped := skip(err); err == nil || skipped {
				t.Fatalf("%s does not catch it: %v", animal.caught, err)
			}
			if all[i].Advice == "" {
				t.Errorf("%s gives no advice", animal.caught)
			}
			t.Logf("%s: %v", animal.caught, err)
		})
	}
}

// Protocol faults are made before anything is served; they do not return.
func animal(fault string) {
	said := func(line string) {
		fmt.Println(line)
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
	switch fault {
	case "silent":
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	case "exits":
		fmt.Fprintln(os.Stderr, "the camera is not there")
		os.Exit(3)
	case "banner":
		said("Camera 3000, version 1.2")
	case "old-protocol":
		said("1|0|unix|/tmp/x|grpc|AAAA")
	case "no-certificate":
		said("1|1|unix|/tmp/x|grpc")
	case "by-hand", "anyone", "unhealthy", "no-life-line", "stays":
		served(faulty{fault}, fault)
	case "children":
		c := exec.Command("sleep", "3")
		if err := c.Start(); err != nil {
			os.Exit(2)
		}
	}
}

// served is a plugin written by hand, without what its fault leaves out.
func served(impl any, fault string) {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
	}
	cert, _, err := certificate()
	fail(err)
	dir := os.Getenv("PLUGIN_UNIX_SOCKET_DIR")
	if dir == "" {
		dir, err = os.MkdirTemp("", "keposs-zoo-")
		fail(err)
		defer os.RemoveAll(dir)
		time.AfterFunc(10*time.Second, func() { _ = os.RemoveAll(dir); os.Exit(0) })
	}
	host := x509.NewCertPool()
	host.AppendCertsFromPEM([]byte(os.Getenv("PLUGIN_CLIENT_CERT")))
	cfg := &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: host, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12}
	if fault == "anyone" {
		cfg.ClientAuth = tls.NoClientCert
	}
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	fail(err)
	s := grpc.NewServer(append(glue.ServerOptions(), grpc.Creds(credentials.NewTLS(cfg)))...)
	_, err = glue.Register(s, impl)
	fail(err)
	if fault != "unhealthy" {
		h := health.NewServer()
		h.SetServingStatus(plugin.GRPCServiceName, grpc_health_v1.HealthCheckResponse_SERVING)
		grpc_health_v1.RegisterHealthServer(s, h)
	}
	if fault != "no-life-line" {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			os.Exit(0)
		}()
	}
	fmt.Printf("1|1|unix|%s|grpc|%s\n", l.Addr(), base64.RawStdEncoding.EncodeToString(cert.Certificate[0]))
	fail(s.Serve(l))
	os.Exit(0)
}

// fromZoo is the source with a fault.
type fromZoo struct {
	core.Source
	fault string
}

func (z fromZoo) Enroll(ctx context.Context, r core.EnrollRequest, p core.Prompter) (core.Enrollment, error) {
	e, err := z.Source.Enroll(ctx, r, p)
	if err != nil {
		return e, err
	}
	switch z.fault {
	case "tag":
		b := e.Secret.Bytes()
		e.Helper[0] = b[0] ^ b[len(b)-1]<<4 ^ b[1]<<2
	case "growing":
		e.Helper = append(e.Helper, 0)
	case "boasts":
		e.Strength = core.Strength{PerTry: 128_000, Evidence: "military grade"}
	case "narrow":
		e.Secret = narrow(e.Secret)
	case "constant":
		e.Secret.Wipe()
		e.Secret = secret.Copy([]byte("secret"))
	}
	return e, nil
}

func (z fromZoo) Capture(ctx context.Context, r core.CaptureRequest, p core.Prompter) (core.Capture, error) {
	r.Params = pin.Rules{Alphabet: pin.Digits, Min: pin.DefaultMin, Max: pin.DefaultMax}.Marshal()
	c, err := z.Source.Capture(ctx, r, p)
	return zooCapture{c, z.fault}, err
}

// narrow keeps two digits of an entry: what is claimed of six is a lie.
func narrow(s *secret.Buffer) *secret.Buffer {
	for i := 2; i < s.Len(); i++ {
		s.Bytes()[i] = '0'
	}
	return s
}

type zooCapture struct {
	core.Capture
	fault string
}

func (z zooCapture) Recover(ctx context.Context, r core.RecoverRequest) (*secret.Buffer, error) {
	r.Helper = pin.Rules{Alphabet: pin.Digits, Min: pin.DefaultMin, Max: pin.DefaultMax}.Marshal()
	s, err := z.Capture.Recover(ctx, r)
	if err != nil {
		return s, err
	}
	right := s.Len() > 0 && string(s.Bytes()) == firstPIN
	switch z.fault {
	case "narrow":
		return narrow(s), nil
	case "constant":
		return secret.Copy([]byte("secret")), nil
	case "oracle":
		if !right {
			return nil, core.Errorf(core.Invalid, "oracle", "no match")
		}
	case "forgets":
		return secret.Copy(fmt.Appendf(nil, "%016x", rand.Uint64())), nil
	case "dies":
		os.Exit(4)
	case "100-mb":
		return secret.New(100 << 20), nil
	case "slow-refusal":
		if !right {
			time.Sleep(20 * time.Millisecond)
		}
	}
	return s, nil
}

// zooKDF is the KDF with a fault.
type zooKDF struct {
	core.KDF
	fault string
}

func (z zooKDF) Validate(p core.Params, l core.Limits) error {
	if z.fault == "unbounded" {
		return nil
	}
	return z.KDF.Validate(p, l)
}

func (z zooKDF) Derive(ctx context.Context, p core.Params, password, salt, out []byte) error {
	switch z.fault {
	case "saltless":
		salt = make([]byte, 16)
	case "costless":
		p = core.NewParams(pbkdf2sm3.Name, core.Param{Key: "i", N: pbkdf2sm3.MinIterations})
	}
	err := z.KDF.Derive(ctx, p, password, salt, out)
	if err == nil && z.fault == "random" {
		out[0] = byte(rand.Uint32())
		out[1] = byte(rand.Uint32())
	}
	return err
}

// zooStore is the backend with a fault.
type zooStore struct {
	core.Backend
	fault string
}

func (z zooStore) CommitMany(ctx context.Context, ms []core.Mutation) ([]core.Result, error) {
	if z.fault == "loses" {
		out := make([]core.Result, len(ms))
		for i, m := range ms {
			out[i].Version = m.Expect + 1
		}
		return out, nil
	}
	r, err := z.Backend.CommitMany(ctx, ms)
	for i := range r {
		if core.CodeOf(r[i].Err) == core.Conflict {
			r[i] = core.Result{Version: ms[i].Expect + 1}
		}
	}
	return r, err
}

// zooRegistry serves the animals that do speak the protocol, and sound plugins
// to those who ask for no fault.
var zooRegistry = plugins.Registry{
	Source: func(string) (core.Source, error) {
		if fault := os.Getenv(zooEnv); fault != "" {
			return fromZoo{pin.New(), fault}, nil
		}
		return pin.New(), nil
	},
	KDF: func(string) (core.KDF, error) {
		if fault := os.Getenv(zooEnv); fault != "" {
			return zooKDF{pbkdf2sm3.New(), fault}, nil
		}
		return pbkdf2sm3.New(), nil
	},
	Backend: func(string) (core.Backend, error) {
		if fault := os.Getenv(zooEnv); fault != "" {
			return zooStore{memory.New(), fault}, nil
		}
		return memory.New(), nil
	},
	Sensor: func(name string) (core.Sensor, error) { return faulty{name}, nil },
}

// enter is what TestMain does first in a process that was started as a plugin.
func enter() {
	_, child := os.LookupEnv(launch.EnvPlugin)
	fault := os.Getenv(zooEnv)
	if child && os.Getenv(launch.Handshake.MagicCookieKey) == "" && fault != "by-hand" {
		fmt.Fprintln(os.Stderr, "this is a plugin of keposs")
		os.Exit(1)
	}
	if child && fault != "" {
		animal(fault)
	}
}

// firstPIN is what the kit's first person types.
var firstPIN = func() string {
	s, err := ppdtest.PIN(1).Ask(context.Background(), core.Prompt{Kinds: []core.SampleKind{core.SamplePIN}})
	if err != nil {
		panic(err)
	}
	return string(s.Data.Bytes())
}()
