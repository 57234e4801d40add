package client

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keposs/keposs/client/clienttest"
	"github.com/keposs/keposs/client/internal/link"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/attest"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/core/sscc"
	"github.com/keposs/keposs/internal/testenv"
)

const vouchedApp = "com.example.bank"

// vouching is an SS-CC whose app demands an attestation, the key of the service
// it believes, and how far its clock is ahead, in seconds.
func vouching(t *testing.T) (e *clienttest.Escrow, key *sm.PrivateKey, ahead *atomic.Int64) {
	t.Helper()
	key, err := sm.GenerateKey(sm.Rand())
	if err != nil {
		t.Fatal(err)
	}
	ahead = &atomic.Int64{}
	e = clienttest.New(t, func(c *sscc.Config) {
		c.Attestors = map[string]sscc.Attestor{"play": attest.NewService(key.Public())}
		c.Clock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load()) * time.Second) }
	})
	e.As(t, func(tok sscc.Token) (err error) {
		e.App, err = e.Core.CreateApp(t.Context(), tok, sscc.AppRequest{Name: "vouched", Attest: "play=" + vouchedApp})
		return err
	})
	return e, key, ahead
}

// level2 is a profile of level 2 that costs a test little.
func level2(o *Options) {
	o.Profile = cheapProfile()
	o.Profile.Level = 2
}

// An app that demands an attestation has level-2 terminals: the agent asks the
// app that is open for the proof SS-CC wants, at enrolment, a day later and at a
// recovery on another terminal. What is no proof of this terminal, now, is
// refused with no counted try, and the terminal goes on.
// req: P-14, X-05
func TestAgentAttests(t *testing.T) {
	e, key, ahead := vouching(t)
	ctx := t.Context()
	asked := 0
	vouched := func(change func(s *attest.Statement, by **sm.PrivateKey) error) func(*Options) {
		return func(o *Options) {
			level2(o)
			o.Attest = func(_ context.Context, nonce [32]byte) (string, []byte, error) {
				asked++
				s, by := attest.Statement{Nonce: nonce, Subject: vouchedApp, Issued: time.Now().Unix() + ahead.Load()}, key
				if change != nil {
					if err := change(&s, &by); err != nil {
						return "", nil, err
					}
				}
				token, err := s.Sign(by)
				return "play", token, err
			}
		}
	}
	foreign, err := sm.GenerateKey(sm.Rand())
	if err != nil {
		t.Fatal(err)
	}
	forged := map[string]func(*Options){
		"no proof at all":   level2,
		"another nonce":     vouched(func(s *attest.Statement, _ **sm.PrivateKey) error { s.Nonce[0]++; return nil }),
		"another app":       vouched(func(s *attest.Statement, _ **sm.PrivateKey) error { s.Subject = "com.example.copy"; return nil }),
		"another service":   vouched(func(_ *attest.Statement, by **sm.PrivateKey) error { *by = foreign; return nil }),
		"yesterday's":       vouched(func(s *attest.Statement, _ **sm.PrivateKey) error { s.Issued -= 24 * 3600; return nil }),
		"a platform's no":   vouched(func(*attest.Statement, **sm.PrivateKey) error { return core.Errorf(core.Auth, "test", "rooted") }),
		"no platform's":     func(o *Options) { level2(o); o.Attest = proves("", []byte("x")) },
		"a proof too long":  func(o *Options) { level2(o); o.Attest = proves("play", make([]byte, protocol.MaxAttestation+1)) },
		"an unknown's":      func(o *Options) { level2(o); o.Attest = proves("tpm", []byte("x")) },
		"something invalid": func(o *Options) { level2(o); o.Attest = proves("play", []byte("garbage")) },
	}
	dir := provisioned(t, e)
	agentBeside(t, dir)
	socket := AgentSocket(dir)
	for name, change := range forged {
		if _, err := atAgent(t, socket, answers{enrol: old}, change).Initialize(ctx, InitRequest{Policy: threeWays}); !errors.Is(err, core.Environment) {
			t.Errorf("initialised with %s: %v", name, err)
		}
	}
	asked = 0
	c := atAgent(t, socket, answers{enrol: old, enter: old}, vouched(nil))
	u, err := c.Initialize(ctx, InitRequest{Policy: threeWays})
	if err != nil {
		t.Fatal(err)
	}
	var sheet *Sheet
	if _, err := c.CreateRecovery(ctx, keeps(t, &sheet)); err != nil {
		t.Fatal(err)
	}
	if err := signs(c); err != nil || asked != 1 {
		t.Errorf("signed: %v; the platform was asked %d times in one day", err, asked)
	}
	if err := signs(atAgent(t, socket, answers{enter: old}, level2)); err != nil {
		t.Errorf("an app without a platform, while the proof counts: %v", err)
	}
	ahead.Add(25 * 3600)
	for name, change := range forged {
		if err := signs(atAgent(t, socket, answers{enter: old}, change)); !errors.Is(err, core.Environment) {
			t.Errorf("signed with %s: %v", name, err)
		}
	}
	if err := signs(c); err != nil || asked < 2 {
		t.Errorf("a day later: %v; asked %d times", err, asked)
	}
	if st, err := c.Status(ctx, true); err != nil || st.State != mstcc.User || st.Used != 0 || st.Server == nil || st.Server.Tries.Used != 0 || st.Profile.Level != 2 {
		t.Errorf("forgeries cost tries: %+v, %v", st, err)
	}
	other := provisioned(t, e)
	agentBeside(t, other)
	recover := func(change func(*Options)) error {
		n := atAgent(t, AgentSocket(other), answers{enter: old, enrol: old}, change)
		r, err := n.Recover(ctx, RecoverRequest{Sheet: sheet, Then: RevokeRequest{Factors: []string{"pin", "gesture"}}})
		if err == nil && r.User != u.User {
			t.Errorf("recovered %+v", r)
		}
		if err == nil {
			err = signs(n)
		}
		return err
	}
	if err := recover(forged["another nonce"]); !errors.Is(err, core.Environment) {
		t.Errorf("recovered with another nonce: %v", err)
	}
	if err := recover(vouched(nil)); err != nil {
		t.Errorf("a vouched recovery: %v", err)
	}
}

// proves is an Attest that says one thing.
func proves(platform string, proof []byte) func(context.Context, [32]byte) (string, []byte, error) {
	return func(context.Context, [32]byte) (string, []byte, error) { return platform, proof, nil }
}

// says is a host with one verdict.
func says(id string, v ProbeVerdict) func(*Options) {
	return func(o *Options) {
		o.Host = func(_ context.Context, which string) (ProbeVerdict, bool) { return v, which == id }
	}
}

// At level 2 the app's word stops the agent's module before anybody is asked,
// where the probe is mandatory; self-tests bring it back when the word is better.
// req: P-13, F-24, F-47, K-12.1-L2b
func TestAgentHearsTheHost(t *testing.T) {
	dir := provisioned(t, clienttest.New(t))
	agentBeside(t, dir)
	socket := AgentSocket(dir)
	app := func(p Prompter, change func(*Options)) *Client {
		return atAgent(t, socket, p, func(o *Options) { level2(o); change(o) })
	}
	if _, err := app(right, says("P-13", ProbeBad)).Initialize(t.Context(), InitRequest{}); !errors.Is(err, core.Environment) || !strings.Contains(err.Error(), "P-13") {
		t.Errorf("initialised on a phone that is compromised: %v", err)
	}
	if _, err := app(right, says("P-13", ProbeOK)).Initialize(t.Context(), InitRequest{}); err != nil {
		t.Fatal(err)
	}
	nobody := PrompterFunc(func(_ context.Context, q Prompt) (Sample, error) {
		t.Errorf("%s was asked for", q.Label)
		return Sample{}, core.Canceled
	})
	for _, c := range []struct {
		id    string
		v     ProbeVerdict
		stops bool
	}{
		{"P-13", ProbeBad, true}, {"P-13", ProbeUnknown, true}, {"P-13", "rooted", true}, {"P-13", "", true},
		{"P-12", ProbeBad, true}, {"P-01", ProbeBad, true}, {"P-14", ProbeBad, false}, {"P-13", ProbeOK, false}, {"none", ProbeBad, false},
	} {
		p := Prompter(right)
		if c.stops {
			p = nobody
		}
		a := app(p, says(c.id, c.v))
		err := signs(a)
		if c.stops != errors.Is(err, core.Environment) || c.stops != (a.State() == mstcc.Error) || err != nil && !strings.Contains(err.Error(), c.id) {
			t.Errorf("%s says %q: %v, %s", c.id, c.v, err, a.State())
		}
		if !c.stops {
			continue
		}
		if err := signs(app(nobody, says("P-13", ProbeOK))); !errors.Is(err, NotReady) {
			t.Errorf("served in ERROR: %v", err)
		}
		if _, err := a.SelfTest(t.Context()); !errors.Is(err, core.Environment) || a.State() != mstcc.Error {
			t.Errorf("self-tests while %s says %q: %v, %s", c.id, c.v, err, a.State())
		}
		if _, err := app(nil, says("P-13", ProbeOK)).SelfTest(t.Context()); err != nil || a.State() != mstcc.User {
			t.Errorf("self-tests afterwards: %v, %s", err, a.State())
		}
	}
	told := strings.Join(events(t, dir), ", ")
	for _, want := range []string{"alarm", "state", "sign environment", "selftest environment"} {
		if !strings.Contains(told, want) {
			t.Errorf("the log does not tell %q: %s", want, told)
		}
	}
}

// At level 1 the app's word has the same effect through an agent as in process.
// req: P-12, X-05
func TestHostThroughAgentIsHostInProcess(t *testing.T) {
	testenv.NeedLevel(t, 1)
	type effect struct {
		sign, test core.Code
		state      State
	}
	run := func(open func(change func(*Options)) *Client) (out []effect) {
		for _, h := range []func(*Options){says("P-12", ProbeBad), says("P-13", ProbeBad), says("P-08", ProbeBad), says("P-12", ProbeUnknown)} {
			c := open(h)
			var e effect
			e.sign = core.CodeOf(signs(c))
			_, err := c.SelfTest(t.Context())
			e.test, e.state = core.CodeOf(err), c.State()
			out = append(out, e)
			if c.agent == nil {
				_ = c.Close()
			}
		}
		return out
	}
	e := clienttest.New(t)
	dir := provisioned(t, e)
	c := opened(t, dir, right)
	if _, err := c.Initialize(t.Context(), InitRequest{}); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	var word func(*Options)
	inside := run(func(change func(*Options)) *Client {
		word = change
		o := Options{}
		word(&o)
		heard := false // opening tests itself, with a host that has nothing to say yet
		return opened(t, dir, PrompterFunc(func(ctx context.Context, q Prompt) (Sample, error) { return right.Ask(ctx, q) }), func(p *Options) {
			p.Host = func(ctx context.Context, id string) (ProbeVerdict, bool) {
				if !heard {
					heard = id == "P-16"
					return "", false
				}
				return o.Host(ctx, id)
			}
		})
	})
	socket, _ := agentOf(t, dir)
	through := run(func(change func(*Options)) *Client {
		if _, err := atAgent(t, socket, nil).SelfTest(t.Context()); err != nil {
			t.Fatal(err)
		}
		return atAgent(t, socket, right, change)
	})
	for i := range inside {
		if inside[i] != through[i] {
			t.Errorf("case %d: %+v in process, %+v through an agent", i, inside[i], through[i])
		}
	}
	if inside[0].sign != core.Environment || inside[0].state != mstcc.Error || inside[1].sign != core.Unknown {
		t.Errorf("effects %+v", inside)
	}
}

// An app that offers verdicts or a proof and then stays silent, or answers with
// what is neither, loses its service: canceled or invalid, no try, no ERROR, and
// the next app is served.
// req: P-13, P-14, G-7.6-03
func TestAppsThatOweAnAnswer(t *testing.T) {
	e, key, _ := vouching(t)
	dir := provisioned(t, e)
	socket, _ := agentOf(t, dir, func(o *AgentOptions) { o.patience = 200 * time.Millisecond })
	silent := func(o *Options) {
		o.Attest = func(ctx context.Context, _ [32]byte) (string, []byte, error) {
			<-ctx.Done()
			return "", nil, ctx.Err()
		}
	}
	if _, err := atAgent(t, socket, right, silent).Initialize(t.Context(), InitRequest{}); !errors.Is(err, Canceled) || !strings.Contains(err.Error(), "owes its attestation") {
		t.Errorf("silent on the attestation: %v", err)
	}
	silent = func(o *Options) {
		o.Host = func(ctx context.Context, _ string) (ProbeVerdict, bool) { <-ctx.Done(); return ProbeBad, true }
	}
	if _, err := atAgent(t, socket, right, silent).SelfTest(t.Context()); !errors.Is(err, Canceled) || !strings.Contains(err.Error(), "owes its platform's verdicts") {
		t.Errorf("silent on the platform: %v", err)
	}
	if err := signs(atAgent(t, socket, nil, silent)); err == nil {
		t.Error("signed before a user is there")
	}
	call := func(verb string, answer func(*link.Conn)) agentResult {
		t.Helper()
		conn, err := link.Dial(t.Context(), socket)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		if err := conn.Send(link.Call, []byte(`{"version":2,"verb":"`+verb+`","host":true,"attest":true}`)); err != nil {
			t.Fatal(err)
		}
		for {
			k, b, err := conn.Receive()
			if err != nil {
				t.Fatal(err)
			}
			switch k {
			case link.Probe:
				answer(conn)
			case link.Result:
				var res agentResult
				if err := fromJSON(b.Bytes(), &res); err != nil {
					t.Fatal(err)
				}
				return res
			}
		}
	}
	raw := func(b ...byte) func(*link.Conn) {
		return func(c *link.Conn) { _, _ = c.Write(b) }
	}
	for name, c := range map[string]struct {
		answer func(*link.Conn)
		want   core.Code
	}{
		"too few":          {raw(byte(link.Verdicts), 0, 0, 0, 1, 1), core.Invalid},
		"an unknown one":   {raw(append([]byte{byte(link.Verdicts), 0, 0, 0, 16, 9}, make([]byte, 15)...)...), core.Invalid},
		"a proof":          {raw(byte(link.Proof), 0, 0, 0, 2, 1, 'x'), core.Invalid},
		"a sample":         {raw(byte(link.Sample), 0, 0, 0, 2, 0, 0), core.Invalid},
		"a refusal":        {raw(append([]byte{byte(link.Refuse), 0, 0, 0, 10}, `{"code":5}`...)...), core.Invalid},
		"endless verdicts": {raw(byte(link.Verdicts), 255, 255, 255, 255), core.TooLarge},
		"no frame":         {raw(77, 0, 0, 0, 0), core.Invalid},
	} {
		res := call("selftest", c.answer)
		if !errors.Is(res.Failure.err(), c.want) || res.Value != nil {
			t.Errorf("%s: %+v, want %s", name, res, c.want)
		}
	}
	good := func(o *Options) {
		o.Attest = func(_ context.Context, nonce [32]byte) (string, []byte, error) {
			token, err := attest.Statement{Nonce: nonce, Subject: vouchedApp, Issued: time.Now().Unix()}.Sign(key)
			return "play", token, err
		}
	}
	c := atAgent(t, socket, right, good)
	if _, err := c.Initialize(t.Context(), InitRequest{}); err != nil {
		t.Fatal(err)
	}
	silentNow := atAgent(t, socket, PrompterFunc(func(context.Context, Prompt) (Sample, error) {
		t.Error("somebody was asked")
		return Sample{}, core.Canceled
	}), silent)
	if err := signs(silentNow); !errors.Is(err, Canceled) {
		t.Errorf("signed for a silent platform: %v", err)
	}
	if err := signs(c); err != nil {
		t.Errorf("the next app: %v", err)
	}
	if st, err := c.Status(t.Context(), true); err != nil || st.State != mstcc.User || st.Used != 0 {
		t.Errorf("afterwards: %+v, %v", st, err)
	}
	told := strings.Join(events(t, dir), ", ")
	for _, want := range []string{"rejected-input too-large", "rejected-input invalid", "selftest invalid", "selftest canceled", "sign canceled"} {
		if !strings.Contains(told, want) {
			t.Errorf("the log does not tell %q: %s", want, told)
		}
	}
}
