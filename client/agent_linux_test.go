package client

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keposs/keposs/client/clienttest"
	"github.com/keposs/keposs/client/internal/link"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/mstcc/trail"
)

// agentOf serves dir in this process until the test ends, and returns its socket.
// end ends it earlier.
func agentOf(t *testing.T, dir string, change ...func(*AgentOptions)) (socket string, end func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready := make(chan AgentReady, 1)
	o := AgentOptions{Dir: dir, Ready: func(r AgentReady) { ready <- r }}
	for _, f := range change {
		f(&o)
	}
	ended := make(chan error, 1)
	go func() { ended <- ServeAgent(ctx, o) }()
	var done bool
	end = func() error {
		cancel()
		if done {
			return nil
		}
		done = true
		return <-ended
	}
	t.Cleanup(func() {
		if err := end(); err != nil {
			t.Errorf("the agent ended: %v", err)
		}
	})
	select {
	case r := <-ready:
		return r.Socket, end
	case err := <-ended:
		done = true
		cancel()
		t.Fatal(err)
		return "", nil
	}
}

// atAgent returns an app of the agent at socket, answered by p.
func atAgent(t *testing.T, socket string, p Prompter, change ...func(*Options)) *Client {
	t.Helper()
	return opened(t, "", p, append([]func(*Options){func(o *Options) { o.Agent = socket }}, change...)...)
}

// events lists what the terminal's log tells, as "kind code".
func events(t *testing.T, dir string) (out []string) {
	t.Helper()
	list, err := trail.Read(filepath.Join(dir, "audit"), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		out = append(out, strings.TrimSpace(e.Kind+" "+e.Code))
	}
	if r, err := trail.Verify(filepath.Join(dir, "audit")); err != nil || !r.OK {
		t.Errorf("the log: %+v, %v", r, err)
	}
	return out
}

// Every service of the API gives over the agent's socket what it gives in
// process, prompts, events and errors included; what was served is in the log.
// req: K-6.1-00b, X-05, G-7.6-03
func TestAgentServesTheAPI(t *testing.T) {
	dir := provisioned(t, clienttest.New(t))
	socket, end := agentOf(t, dir)
	var steps []string
	c := atAgent(t, socket, right, func(o *Options) { o.Events = func(e Event) { steps = append(steps, e.Flow) } })
	if _, err := c.User(); !errors.Is(err, NotReady) {
		t.Errorf("before initialisation: %v", err)
	}
	u, err := c.Initialize(t.Context(), InitRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(steps, "7.1") || len(u.Strength) != 2 || u.Sign == "" {
		t.Errorf("initialised as %+v with events %v", u, steps)
	}
	if kept, err := c.User(); err != nil || kept != u.User {
		t.Errorf("user %+v, %v", kept, err)
	}
	used(t, c, u)
	if b, ok := c.Binding(); !ok || b.Version != 1 || b.Endpoint == "" {
		t.Errorf("binding %+v %v", b, ok)
	}
	st, err := c.Status(t.Context(), true)
	if err != nil || st.ServerErr != nil || st.User != u.ID || st.Server == nil || st.Policy != "gesture & pin" || c.State() != mstcc.User || len(st.Probes) == 0 {
		t.Errorf("status %+v, %v; state %s", st, err, c.State())
	}
	if tests, err := c.SelfTest(t.Context()); err != nil || len(tests) < 10 {
		t.Errorf("%d self-tests, %v", len(tests), err)
	}
	if changed, err := c.ReloadPlugins(t.Context()); err != nil || len(changed) != 0 {
		t.Errorf("nothing is pinned: %v, %v", changed, err)
	}
	stranger := atAgent(t, socket, wrong)
	if err := signs(stranger); !errors.Is(err, Auth) {
		t.Errorf("a wrong PIN: %v", err)
	}
	if _, err := atAgent(t, socket, nil).Sign(t.Context(), SignRequest{Message: []byte("m")}); !errors.Is(err, core.Usage) {
		t.Errorf("nobody to ask: %v", err)
	}
	s, err := c.Signer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.SignMessage(nil, []byte("m"), nil); err != nil {
		t.Errorf("the signer: %v", err)
	}
	if err := c.Deregister(t.Context()); err != nil || c.State() != mstcc.EOL {
		t.Errorf("deregistered: %v, %s", err, c.State())
	}
	if err := end(); err != nil {
		t.Errorf("the agent ends: %v", err)
	}
	if _, err := os.Lstat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its socket stays: %v", err)
	}
	told := events(t, dir)
	for _, want := range []string{"start", "initialize", "sign", "verify", "encrypt", "decrypt", "decrypt invalid", "selftest", "reload", "sign auth", "sign usage", "user state", "deregister", "state", "stop"} {
		if !slices.Contains(told, want) {
			t.Errorf("the log does not tell %q: %v", want, told)
		}
	}
	if c.State() != mstcc.Off {
		t.Errorf("the state without an agent is %s", c.State())
	}
	if err := signs(c); !errors.Is(err, core.NotFound) {
		t.Errorf("without an agent: %v", err)
	}
}

// The changes of a key's life run over the socket: plans, a new PIN, a sheet
// shown by the app, a revoke, and recovery through another terminal's agent.
// req: X-05
func TestAgentServesTheLifeCycle(t *testing.T) {
	ctx := t.Context()
	e := clienttest.New(t)
	socket, _ := agentOf(t, provisioned(t, e))
	c := atAgent(t, socket, answers{enrol: old})
	u, err := c.Initialize(ctx, InitRequest{Policy: threeWays})
	if err != nil {
		t.Fatal(err)
	}
	fresh := map[string]string{"pin": "580194", "gesture": "4-9-2-7-6-1", "pin:work": "739105"}
	c = atAgent(t, socket, answers{enter: old, enrol: fresh})
	change := ChangeRequest{Replace: []string{"pin"}, Factors: []string{"gesture", "pin:work"}}
	if plan, err := c.PlanChange(ctx, change); err != nil || plan.Revoke || !slices.Equal(plan.Open, change.Factors) {
		t.Errorf("plan %+v, %v", plan, err)
	}
	if _, left, err := c.PlanRemoval(ctx, "pin"); err != nil || left != "gesture & pin:work" {
		t.Errorf("without the PIN: %q, %v", left, err)
	}
	if got, err := c.Change(ctx, change); err != nil || got.Epoch != 2 {
		t.Fatalf("changed to %+v, %v", got, err)
	}
	now := map[string]string{"pin": "580194", "gesture": old["gesture"], "pin:work": old["pin:work"]}
	c = atAgent(t, socket, answers{enter: now, enrol: fresh})
	refused := core.Errorf(core.Canceled, "test", "no paper")
	if _, err := c.CreateRecovery(ctx, func(context.Context, *Sheet) error { return refused }); err == nil || !strings.Contains(err.Error(), "no paper") {
		t.Errorf("a sheet nobody took: %v", err)
	}
	if _, err := c.CreateRecovery(ctx, nil); !errors.Is(err, core.Usage) {
		t.Errorf("no way to show a sheet: %v", err)
	}
	var first, second *Sheet
	if got, err := c.CreateRecovery(ctx, keeps(t, &first)); err != nil || !got.Recovery || first.User != u.ID {
		t.Fatalf("a sheet: %+v, %v", got, err)
	}
	if got, err := c.Revoke(ctx, RevokeRequest{Sheet: keeps(t, &second)}); err != nil || got.MKGen != 2 || second.Bind == first.Bind {
		t.Fatalf("revoked: %+v, %v", got, err)
	}
	if p, err := c.Policy(ctx); err != nil || p.MKGen != 2 || p.Tree.String() != "2 of (gesture, pin, pin:work)" {
		t.Errorf("policy %+v, %v", p, err)
	}
	if gone, err := atAgent(t, socket, answers{enter: fresh}).ClearTries(ctx); err != nil && !errors.Is(err, core.Policy) || len(gone) != 0 {
		t.Errorf("no foreign tries: %v, %v", gone, err)
	}
	other, _ := agentOf(t, provisioned(t, e))
	n := atAgent(t, other, answers{enter: fresh, enrol: old})
	ways := 0
	res, err := n.Recover(ctx, RecoverRequest{Sheet: second, Choose: func(_ string, w [][]string) []string { ways = len(w); return []string{"pin", "pin:work"} }})
	if err != nil || res.User != u.User || ways != 3 {
		t.Fatalf("recovered %+v, %v; %d ways", res, err, ways)
	}
	if err := signs(atAgent(t, other, answers{enter: old})); err != nil {
		t.Errorf("on the new terminal: %v", err)
	}
	if err := atAgent(t, other, answers{enter: old}).Unbind(ctx); err != nil {
		t.Errorf("unbind: %v", err)
	}
}

// An app that gives up, dies or stays silent ends its own service and nobody
// else's; two apps have their turns.
func TestAppsThatEnd(t *testing.T) {
	dir := provisioned(t, clienttest.New(t))
	socket, _ := agentOf(t, dir)
	if _, err := atAgent(t, socket, right).Initialize(t.Context(), InitRequest{}); err != nil {
		t.Fatal(err)
	}
	asked := make(chan struct{})
	hangs := PrompterFunc(func(ctx context.Context, _ Prompt) (Sample, error) {
		close(asked)
		<-ctx.Done()
		return Sample{}, core.Errorf(core.Canceled, "test", "%w", ctx.Err())
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := atAgent(t, socket, hangs).Sign(ctx, SignRequest{Message: []byte("m")})
		ended <- err
	}()
	<-asked
	if _, err := Open(t.Context(), Options{Agent: socket}); err != nil {
		t.Errorf("while a person is asked, another app hears: %v", err)
	}
	waits := make(chan error, 1)
	go func() { waits <- signs(atAgent(t, socket, right)) }()
	cancel()
	if err := <-ended; !errors.Is(err, Canceled) {
		t.Errorf("given up: %v", err)
	}
	if err := <-waits; err != nil {
		t.Errorf("the app that waited: %v", err)
	}
	gaveUp := PrompterFunc(func(context.Context, Prompt) (Sample, error) {
		return Sample{}, core.Errorf(core.Canceled, "test", "no")
	})
	if err := signs(atAgent(t, socket, gaveUp)); !errors.Is(err, Canceled) {
		t.Errorf("a person who gives up: %v", err)
	}
	if st, err := atAgent(t, socket, right).Status(t.Context(), true); err != nil || st.Used != 0 {
		t.Errorf("tries %d used, %v; nobody entered a wrong factor", st.Used, err)
	}
}

// What is no call is refused and written down, and the agent goes on.
// req: G-7.6-03
func TestAgentRejectsInput(t *testing.T) {
	dir := provisioned(t, clienttest.New(t))
	socket, _ := agentOf(t, dir)
	raw := func(b []byte) (agentResult, error) {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
		_, body, err := link.Read(conn)
		var res agentResult
		if err == nil {
			err = fromJSON(body.Bytes(), &res)
		}
		return res, err
	}
	frame := func(k link.Kind, body string) []byte {
		return append(binary.BigEndian.AppendUint32([]byte{byte(k)}, uint32(len(body))), body...)
	}
	for _, c := range []struct {
		name string
		in   []byte
		want core.Code
	}{
		{"another kind", frame(link.Data, "x"), core.Invalid},
		{"a frame too long", []byte{byte(link.Call), 255, 255, 255, 255}, core.TooLarge},
		{"no JSON", frame(link.Call, "hello"), core.Invalid},
		{"an unknown field", frame(link.Call, `{"version":1,"verb":"state","x":1}`), core.Invalid},
		{"another version", frame(link.Call, `{"version":3,"word":"state"}`), core.Unsupported},
		{"what version 1 has not", frame(link.Call, `{"version":1,"verb":"state","host":true}`), core.Invalid},
		{"an unknown verb", frame(link.Call, `{"version":1,"verb":"export-key"}`), core.Unsupported},
		{"unknown arguments", frame(link.Call, `{"version":1,"verb":"status","args":{"pin":1}}`), core.Invalid},
		{"data nobody wants", append(frame(link.Call, `{"version":1,"verb":"state","data":1}`), frame(link.Data, "x")...), core.Invalid},
		{"data that is none", append(frame(link.Call, `{"version":1,"verb":"sign","data":1}`), frame(link.Shown, "")...), core.Invalid},
		{"endless data", frame(link.Call, `{"version":1,"verb":"sign","data":1000000}`), core.TooLarge},
		{"a negative number of data", frame(link.Call, `{"version":1,"verb":"sign","data":-1}`), core.TooLarge},
	} {
		res, err := raw(c.in)
		if err != nil || res.Failure == nil || !errors.Is(res.Failure.err(), c.want) {
			t.Errorf("%s: %+v, %v; want %s", c.name, res.Failure, err, c.want)
		}
	}
	if _, err := Open(t.Context(), Options{Agent: socket}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	n := 0
	for _, e := range events(t, dir) {
		if strings.HasPrefix(e, "rejected-input") {
			n++
		}
	}
	if n < 9 {
		t.Errorf("%d rejections in the log", n)
	}
}

// An agent whose log cannot be written serves nothing: what it did does not
// leave it, and nothing more is begun.
// req: G-7.6-03
func TestNoAnswerWithoutItsEvent(t *testing.T) {
	dir := provisioned(t, clienttest.New(t))
	socket, end := agentOf(t, dir)
	c := atAgent(t, socket, right)
	if _, err := c.Initialize(t.Context(), InitRequest{}); err != nil {
		t.Fatal(err)
	}
	// The head can no longer be replaced, whoever runs this.
	head := filepath.Join(dir, "audit", ".head")
	if err := os.Mkdir(head, 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := signs(c); !errors.Is(err, core.Environment) || !strings.Contains(err.Error(), "audit log") {
			t.Errorf("signed without a log: %v", err)
		}
	}
	if _, err := c.Status(t.Context(), false); !errors.Is(err, core.Environment) {
		t.Errorf("status without a log: %v", err)
	}
	if err := end(); !errors.Is(err, core.Environment) {
		t.Errorf("the agent ends without a word on its log: %v", err)
	}
}

// A terminal has one agent; whoever else opens its folder is told to wait.
func TestFolderIsTheAgents(t *testing.T) {
	dir := provisioned(t, clienttest.New(t))
	agentOf(t, dir)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, Options{Dir: dir}); !errors.Is(err, Canceled) {
		t.Errorf("opened in process beside the agent: %v", err)
	}
	if _, err := Open(t.Context(), Options{Agent: filepath.Join(t.TempDir(), "none")}); !errors.Is(err, core.NotFound) || !strings.Contains(err.Error(), "keposs agent") {
		t.Errorf("no agent: %v", err)
	}
}
