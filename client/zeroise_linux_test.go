package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/keposs/keposs/client/builtin"
	"github.com/keposs/keposs/client/clienttest"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/mf"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/internal/memscan"
	"github.com/keposs/keposs/internal/testenv"
)

// Environment of the child whose memory is looked at.
const (
	zeroiseMode = "KEPOSS_ZEROISE_MODE"
	zeroiseDir  = "KEPOSS_ZEROISE_DIR"
)

// forgotten keeps what the control forgets to wipe.
var forgotten []byte

var zeroiseMessage = []byte("zeroise")

// zeroiseChild uses a terminal as an app does, then stays for its memory to be
// read. PINs come masked and are unmasked into the samples only.
func zeroiseChild() {
	ctx := context.Background()
	go collect()
	in := bufio.NewReader(os.Stdin)
	masked := map[string][]byte{}
	for _, name := range []string{"pin", "pin:work", "wrong"} {
		b := make([]byte, 16)
		if _, err := io.ReadFull(in, b); err != nil {
			os.Exit(4)
		}
		masked[name] = b
	}
	mode := os.Getenv(zeroiseMode)
	wrong, cancel, fault := false, false, 0
	profile := DefaultProfile()
	profile.Mode, profile.SlowFloor = ModePlain, mstcc.MinSlowFloor
	agent := os.Getenv(zeroiseAgent)
	if agent != "" {
		profile.Level = 2
	}
	c, err := Open(ctx, Options{Dir: os.Getenv(zeroiseDir), Agent: agent, Profile: profile, Events: func(e Event) {
		if fault != 0 && e.Step == fault {
			panic("inside the service")
		}
	}, Prompter: PrompterFunc(func(_ context.Context, p Prompt) (Sample, error) {
		if cancel && p.Label == "pin:work" {
			return Sample{}, core.Errorf(core.Canceled, "test", "the person gave up")
		}
		b := bytes.Clone(masked[p.Label])
		if wrong && p.Label == "pin:work" {
			copy(b, masked["wrong"])
		}
		memscan.Mask(b)
		if mode == "control" {
			forgotten = bytes.Clone(b)
		}
		return NewSample(p.Kinds[0], b), nil
	})})
	die := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(5)
		}
	}
	die(err)
	_, err = c.Initialize(ctx, InitRequest{Policy: "pin & pin:work"})
	die(err)
	sig, err := c.Sign(ctx, SignRequest{Message: zeroiseMessage})
	die(err)
	switch mode {
	case "panic", "entry":
		if agent == "" {
			fault = map[string]int{"panic": 6, "entry": 2}[mode]
			panicked(ctx, c)
		} else if _, err := c.Sign(ctx, SignRequest{Message: zeroiseMessage}); !errors.Is(err, core.Internal) {
			die(fmt.Errorf("through a faulty agent: %v", err))
		}
		if c.State() != mstcc.Error {
			die(fmt.Errorf("after a panic: %s", c.State()))
		}
	case "wrong":
		wrong = true
		if _, err := c.Sign(ctx, SignRequest{Message: zeroiseMessage}); !errors.Is(err, Auth) {
			die(fmt.Errorf("a wrong PIN: %v", err))
		}
	case "cancel":
		cancel = true
		if _, err := c.Sign(ctx, SignRequest{Message: zeroiseMessage}); !errors.Is(err, Canceled) {
			die(fmt.Errorf("cancelled: %v", err))
		}
	default:
		ct, _, err := c.Encrypt(ctx, []byte("text"), PublicKey{}, FormEnvelope)
		die(err)
		plain, _, err := c.Decrypt(ctx, ct)
		die(err)
		plain.Wipe()
	}
	fmt.Printf("%x\n", sig.Raw())
	if _, err := in.ReadByte(); err != nil { // the parent has read what it needs
		os.Exit(6)
	}
	if mode == "deregister" {
		die(c.Deregister(ctx))
		if c.State() != mstcc.EOL {
			die(fmt.Errorf("after deregistration: %s", c.State()))
		}
	}
	fmt.Println("done")
	_, _ = io.Copy(io.Discard, in)
	die(c.Close())
	os.Exit(0)
}

// collect runs the collector dozens of times a second: whenever it moves a stack to
// a smaller one, the old one stays behind as it was, with all that stood on it.
func collect() {
	for {
		runtime.GC()
		time.Sleep(time.Duration(rand.IntN(int(40 * time.Millisecond))))
	}
}

// panicked uses a service that panics: at step 6 its keys are open, at step 2 the
// factors are in memory.
func panicked(ctx context.Context, c *Client) {
	defer func() { _ = recover() }()
	_, _ = c.Sign(ctx, SignRequest{Message: zeroiseMessage})
}

// After initialisation, signatures and decryption, and also after a wrong PIN,
// a cancelled entry, a panic with open keys or at the entry, and deregistration, the plain build leaves none of
// the secrets in the app's process or in its plugin processes. Nor does one of
// them stand in a file of the terminal, in what crossed the loopback device, in
// what was said, or in the environment or arguments of a process.
// req: K-7.1-07, K-7.2-07, K-7.2-D1, K-7.1-D2, K-5.3-01b, K-5.3-02d, K-15.4-02b, K-15.4-03, K-17.1-09, K-17.7-00, G-7.9-10, G-7.9-11, X-11, TK-01, TK-02
func TestNothingStaysInMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector keeps copies of its own")
	}
	for _, mode := range []string{"control", "success", "wrong", "cancel", "panic", "entry", "deregister"} {
		t.Run(mode, func(t *testing.T) {
			if mode != "control" && mode != "success" {
				testenv.NeedLevel(t, 1)
			}
			zeroised(t, mode, false)
		})
	}
}

func digits() []byte {
	b := make([]byte, 16)
	for i := range b {
		b[i] = byte('0' + rand.IntN(10))
	}
	return b
}

// zeroised looks at an app, at its module's processes, and at those of an agent
// when the module is in one.
func zeroised(t *testing.T, mode string, agent bool) {
	e := clienttest.New(t)
	wire := listen(t, e.Endpoint)
	dir := filepath.Join(t.TempDir(), "terminal")
	if _, err := Provision(t.Context(), dir, e.Ticket(t)); err != nil {
		t.Fatal(err)
	}
	pins := map[string][]byte{"pin": digits(), "pin:work": digits(), "wrong": digits()}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), zeroiseMode+"="+mode, zeroiseDir+"="+dir)
	var more []int
	if agent {
		pid := agentBeside(t, dir, zeroiseFault+"="+mode)
		more = append(more, pid)
		cmd.Env = append(cmd.Env, zeroiseAgent+"="+AgentSocket(dir))
	}
	var said bytes.Buffer
	cmd.Stderr = &said
	in, out := startChild(t, cmd)
	for _, name := range []string{"pin", "pin:work", "wrong"} {
		b := bytes.Clone(pins[name])
		memscan.Mask(b)
		if _, err := in.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	if err != nil {
		_ = cmd.Wait()
		t.Fatalf("the child ended: %v, %s: %s", err, cmd.ProcessState, said.Bytes())
	}
	sig, err := hex.DecodeString(strings.TrimSpace(line))
	if err != nil || len(sig) != 64 {
		t.Fatalf("signature %q", line)
	}
	time.Sleep(200 * time.Millisecond) // its last Confirm
	secrets := secretsOf(t, dir, pins, sig)
	if mode != "deregister" {
		delete(secrets, "device key") // its session is open
	}
	if _, err := in.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	if line, err = lines.ReadString('\n'); err != nil || line != "done\n" {
		t.Fatalf("the child says %q: %v", line, err)
	}
	var patterns []memscan.Pattern
	for name, s := range secrets {
		p, err := memscan.Forms(name, s)
		if err != nil {
			t.Fatal(err)
		}
		patterns = append(patterns, p...)
	}
	for _, pid := range more {
		more = append(more, children(pid)...)
	}
	family := append(append(children(cmd.Process.Pid), cmd.Process.Pid), more...)
	if len(family) < 3 {
		t.Errorf("%d processes: the app, a source and a KDF are expected", len(family))
	}
	found := map[string]int{}
	for _, pid := range family {
		finds, scanned, err := memscan.Scan(pid, patterns)
		if err != nil || scanned < 1<<20 {
			t.Fatalf("%d bytes of process %d: %v", scanned, pid, err)
		}
		for _, f := range finds {
			found[f.Pattern]++
			if mode != "control" {
				t.Errorf("process %d of %v: %s", pid, family, f)
			}
		}
	}
	texts := map[string][]byte{"standard error": said.Bytes()}
	t.Run("the loopback device", func(t *testing.T) {
		if wire == nil {
			t.Skip("NOT LOOKED AT: capturing the loopback device takes CAP_NET_RAW, which this process has not")
		}
		heard, packets := wire()
		t.Logf("%d packets to and from SS-CC, %d bytes in all", packets, len(heard))
		texts["the loopback device"] = heard
		if !bytes.Contains(heard, []byte(wireMarker)) || packets < 5 {
			t.Errorf("control: the capture misses what was sent: %d packets of SS-CC's", packets)
		}
	})
	nowhere(t, dir, family, texts, patterns)
	if mode == "control" && found["PIN pin/be"]+found["PIN pin:work/be"] == 0 {
		t.Errorf("control: a PIN that was not wiped is not found: %v", found)
	}
}

// inside is a secret that package mf keeps to itself.
func inside(v any, field string) []byte {
	p := reflect.ValueOf(v).Elem().FieldByName(field).UnsafePointer()
	return bytes.Clone((*secret.Buffer)(p).Bytes())
}

// secretsOf derives, in this process and from what terminal and SS-CC hold,
// everything the child had to have.
func secretsOf(t *testing.T, dir string, pins map[string][]byte, sig []byte) map[string][]byte {
	t.Helper()
	ctx := t.Context()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	f := &folder{dir: dir}
	b, err := f.loadBinding()
	check(err)
	keys, err := mstcc.NewFileKeyStore(f.keys())
	check(err)
	device, err := keys.Load(ctx, "device-secret-1")
	check(err)
	raw, err := os.ReadFile(filepath.Join(f.state(), "trust"))
	check(err)
	trust, err := mf.OpenTrustRecord(raw, device)
	check(err)
	conn, err := b.dial(ctx, keys, deviceKeyName)
	check(err)
	defer conn.Close()
	ans, err := conn.Policy(ctx, protocol.PolicyRequest{User: trust.User})
	check(err)
	slow, err := builtin.KDF(DefaultKDF)
	check(err)
	c, err := mf.Check(ans.Policy, mf.Expect{Slots: []*mf.Slot{trust.Current}, Pubs: &ans.Pubs, App: b.App, KDFs: []string{DefaultKDF}, Realm: b.Realm})
	check(err)
	holder := c.Policy.Anchor[0].ID
	o, err := mf.NewOpener(c, holder, device)
	check(err)
	_, err = o.Choose([]string{"pin", "pin:work"})
	check(err)
	for _, label := range []string{"pin", "pin:work"} {
		check(o.SetFactor(label, secret.Copy(pins[label])))
	}
	out := map[string][]byte{"anchor": inside(o, "anchor")}
	o.Keep()
	check(o.Stretch(ctx, slow))
	out["g"] = inside(o, "g")
	opened, err := o.Finish(nil)
	check(err)
	rk := inside(opened, "rk")
	out["RK"] = rk
	fetched, err := conn.Fetch(ctx, protocol.FetchRequest{User: trust.User, Gen: c.Policy.Epoch, Attempt: protocol.ID{1}})
	check(err)
	bundle, err := opened.OpenBlob(fetched.Sealed)
	check(err)
	conf, err := opened.ConfirmKey()
	check(err)
	key := c.Policy.KeyID
	out["device secret"] = bytes.Clone(device.Bytes())
	devKey, err := keys.Load(ctx, deviceKeyName)
	check(err)
	out["device key"] = devKey.Bytes()
	x := sm.HMAC(rk, enc.Join(enc.Str("keposs/mf/1"), enc.Str("mk"), enc.Join(key[:], enc.U64(c.Policy.MKGen)), enc.U32(32)))
	mk := sm.KDF(sm.KDF(x[:], 32), 48)
	out["MK"], out["MA"] = mk[:16], mk[16:]
	plain := make([]byte, len(fetched.Sealed)-48) // iv ‖ ciphertext ‖ tag
	check(sm.CTR(mk[:16], fetched.Sealed[:16], plain, fetched.Sealed[16:len(fetched.Sealed)-32]))
	if !bytes.Contains(plain, bundle.Sign.Scalar().Bytes()) {
		t.Fatal("MK as derived here does not open the sealed keys")
	}
	d := bundle.Sign.Scalar().Bytes()
	out["d_M"], out["d_enc"], out["d_conf"] = d, bundle.Enc.Scalar().Bytes(), conf.Scalar().Bytes()
	n := sm.GroupOrder()
	order, dm := new(big.Int).SetBytes(n[:]), new(big.Int).SetBytes(d)
	one := new(big.Int).Add(dm, big.NewInt(1))
	out["(1+d)^-1"] = new(big.Int).ModInverse(one, order).FillBytes(make([]byte, 32))
	r, s := new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])
	nonce := new(big.Int).Add(new(big.Int).Mul(s, one), new(big.Int).Mul(r, dm)) // s = (1+d)^-1 (k − r d)
	out["nonce"] = nonce.Mod(nonce, order).FillBytes(make([]byte, 32))
	for name, p := range pins {
		out["PIN "+name] = p
	}
	return out
}
