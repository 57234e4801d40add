package client

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keposs/keposs/client/clienttest"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/mstcc/trail"
	"github.com/keposs/keposs/core/sscc"
	"github.com/keposs/keposs/internal/testenv"
)

// audited is one row of the table of docs/agent.md: what G-7.6-03 wants and a
// log that tells it.
type audited struct{ event, kinds string }

// theAudit is that table. refused-peer needs two users: TestAgentOfAnotherUser.
var theAudit = []audited{
	{"login, ok or bad", "`sign` and every other service with PPD; bad: code `auth`"},
	{"role taken", "`role` of that event: `user`, for this one service"},
	{"lock and unlock", "`state`, into and out of LOCKED"},
	{"init", "`initialize`, `recover`"},
	{"bind", "`provision` (the terminal to its app), `initialize` or `recover` (the user to the terminal)"},
	{"unbind", "`unbind`, `deregister`; by the administrator: `state`, into INIT or EOL"},
	{"revoke", "`revoke`; of the app: `state`, into EOL"},
	{"self-test result", "`start`, `selftest`; a failed one with the test's name, and `state` into ERROR"},
	{"config change", "`change`, `create-recovery`, `reload` with what was taken over"},
	{"zeroise", "`zeroise`"},
	{"rejected input", "`rejected-input`, `refused-peer`; within a service its code `invalid`"},
}

// logOf reads a terminal's whole log, whose chain must be whole.
func logOf(t *testing.T, dir string) []trail.Event {
	t.Helper()
	list, err := trail.Read(filepath.Join(dir, "audit"), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := trail.Verify(filepath.Join(dir, "audit")); err != nil || !r.OK {
		t.Errorf("the log: %+v, %v", r, err)
	}
	return list
}

// Each kind of event that G-7.6-03 lists is in the terminal's log once it has
// happened, with its code, role and state, and the table in the documents is the
// one that is tested here.
// req: G-7.6-03, K-17.1-05
func TestAuditTellsEveryEvent(t *testing.T) {
	ctx := t.Context()
	e := clienttest.New(t)
	ticket := e.Ticket(t)
	dir := filepath.Join(t.TempDir(), "terminal")
	if _, err := Provision(ctx, dir, ticket); err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(t.TempDir(), "foreign")
	if _, err := Provision(ctx, foreign, ticket); !errors.Is(err, core.Refused) {
		t.Fatal(err)
	}
	user := lifeOf(t, e, dir)
	if err := Zeroise(ctx, dir); err != nil {
		t.Fatal(err)
	}
	revoked := revokedApp(t)
	for _, w := range []struct {
		event string
		dir   string
		want  trail.Event // zero fields are not looked at
		text  string      // part of its text
	}{
		{"login, ok or bad", dir, trail.Event{Kind: "sign", Role: "user", State: "USER", PID: os.Getpid()}, ""},
		{"login, ok or bad", dir, trail.Event{Kind: "sign", Code: "auth", State: "USER"}, ""},
		{"login, ok or bad", dir, trail.Event{Kind: "sign", Code: "auth", State: "LOCKED"}, ""},
		{"role taken", dir, trail.Event{Kind: "decrypt", Role: "user"}, ""},
		{"lock and unlock", dir, trail.Event{Kind: "state", State: "LOCKED"}, "F-30"},
		{"lock and unlock", dir, trail.Event{Kind: "state", State: "USER"}, "F-41"},
		{"init", dir, trail.Event{Kind: "initialize", Role: "user", State: "USER"}, ""},
		{"bind", dir, trail.Event{Seq: 1, Kind: "provision", PID: os.Getpid()}, ""},
		{"bind", foreign, trail.Event{Kind: "provision", Code: "refused"}, ""},
		{"unbind", dir, trail.Event{Kind: "unbind", Role: "user", State: "INIT"}, ""},
		{"unbind", dir, trail.Event{Kind: "state", State: "INIT"}, "F-21"},
		{"unbind", revoked, trail.Event{Kind: "state", State: "INIT"}, "→ INIT"},
		{"unbind", dir, trail.Event{Kind: "deregister", Role: "user", State: "EOL"}, ""},
		{"revoke", dir, trail.Event{Kind: "revoke", Role: "user"}, ""},
		{"revoke", revoked, trail.Event{Kind: "state", State: "EOL"}, "app-id-revoked"},
		{"self-test result", dir, trail.Event{Kind: "start"}, ""},
		{"self-test result", dir, trail.Event{Kind: "selftest", State: "USER"}, ""},
		{"self-test result", dir, trail.Event{Kind: "selftest", Code: "environment", State: "ERROR"}, "P-01"},
		{"self-test result", dir, trail.Event{Kind: "state", State: "ERROR"}, "F-09"},
		{"config change", dir, trail.Event{Kind: "change", Role: "user"}, ""},
		{"config change", dir, trail.Event{Kind: "create-recovery", Role: "user"}, ""},
		{"config change", dir, trail.Event{Kind: "reload"}, ""},
		{"zeroise", dir, trail.Event{Kind: "zeroise", PID: os.Getpid()}, ""},
		{"rejected input", dir, trail.Event{Kind: "rejected-input", Code: "unsupported"}, ""},
		{"rejected input", dir, trail.Event{Kind: "decrypt", Code: "invalid"}, ""},
	} {
		found := false
		for _, got := range logOf(t, w.dir) {
			like := w.want
			like.Time, like.UID, like.Text = got.Time, got.UID, got.Text
			like.Seq, like.PID = cmp.Or(like.Seq, got.Seq), cmp.Or(like.PID, got.PID)
			like.Role, like.State = cmp.Or(like.Role, got.Role), cmp.Or(like.State, got.State)
			found = found || like == got && strings.Contains(got.Text, w.text)
		}
		if !found {
			t.Errorf("%s: no event like %+v %q in %+v", w.event, w.want, w.text, logOf(t, w.dir))
		}
		listed := false
		for _, row := range theAudit {
			listed = listed || row.event == w.event && strings.Contains(row.kinds, "`"+cmp.Or(w.want.Code, w.want.Kind)+"`") ||
				row.event == w.event && strings.Contains(row.kinds, "`"+w.want.Kind+"`") || w.event == "role taken"
		}
		if !listed {
			t.Errorf("%s: the table does not have %s", w.event, w.want.Kind)
		}
	}
	for _, got := range logOf(t, dir) {
		if got.Role != "" && got.Code == "auth" {
			t.Errorf("a role with a wrong factor: %+v", got)
		}
		if strings.Contains(got.Text, user.String()) {
			t.Errorf("it names the user: %+v", got)
		}
	}
	doc, err := os.ReadFile(filepath.Join(testenv.Root(), "docs", "agent.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range theAudit {
		if !strings.Contains(string(doc), "\n| "+row.event+" | "+row.kinds+" |\n") {
			t.Errorf("docs/agent.md has no row %+v", row)
		}
	}
}

// lifeOf goes through the life of a terminal at its agent.
func lifeOf(t *testing.T, e *clienttest.Escrow, dir string) (user ID) {
	t.Helper()
	ctx := t.Context()
	socket, end := agentOf(t, dir)
	do := func(what string, err error, want core.Code) {
		t.Helper()
		if core.CodeOf(err) != want {
			t.Fatalf("%s: %v, want %s", what, err, want)
		}
	}
	c := atAgent(t, socket, answers{enter: old, enrol: old}, func(o *Options) { o.Profile.Limit = 2 })
	_, err := ask[State](ctx, c.agent, "export-key", nil)
	do("an unknown verb", err, core.Unsupported)
	u, err := c.Initialize(ctx, InitRequest{Policy: threeWays})
	do("initialize", err, core.Unknown)
	do("sign", signs(c), core.Unknown)
	ct, _, err := c.Encrypt(ctx, []byte("text"), PublicKey{}, FormEnvelope)
	do("encrypt", err, core.Unknown)
	plain, _, err := c.Decrypt(ctx, ct)
	do("decrypt", err, core.Unknown)
	plain.Wipe()
	_, _, err = c.Decrypt(ctx, ct[:len(ct)/2])
	do("decrypt half", err, core.Invalid)
	_, err = c.SelfTest(ctx)
	do("selftest", err, core.Unknown)
	_, err = atAgent(t, socket, nil, says("P-01", ProbeBad)).SelfTest(ctx)
	do("selftest under a debugger", err, core.Environment)
	_, err = c.SelfTest(ctx)
	do("selftest", err, core.Unknown)
	stranger := atAgent(t, socket, answers{enter: map[string]string{"pin": "314159", "gesture": old["gesture"]}})
	do("a wrong PIN", signs(stranger, "pin", "gesture"), core.Auth)
	do("the last wrong PIN", signs(stranger, "pin", "gesture"), core.Auth)
	if c.State() != mstcc.Locked {
		t.Fatalf("after the last try: %s", c.State())
	}
	e.Unlock(t, u.ID)
	do("sign after the unlock", signs(c), core.Unknown)
	_, err = c.Change(ctx, ChangeRequest{})
	do("change", err, core.Unknown)
	var sheet *Sheet
	_, err = c.CreateRecovery(ctx, keeps(t, &sheet))
	do("create-recovery", err, core.Unknown)
	_, err = c.Revoke(ctx, RevokeRequest{})
	do("revoke", err, core.Unknown)
	_, err = c.ReloadPlugins(ctx)
	do("reload", err, core.Unknown)
	do("unbind", c.Unbind(ctx), core.Unknown)
	_, err = c.Initialize(ctx, InitRequest{Policy: threeWays})
	do("initialize again", err, core.Unknown)
	do("deregister", c.Deregister(ctx), core.Unknown)
	do("the agent's end", end(), core.Unknown)
	return u.ID
}

// revokedApp is the folder of a terminal whose user the administrator unbound,
// and whose app was revoked under the next.
func revokedApp(t *testing.T) (dir string) {
	t.Helper()
	e := clienttest.New(t)
	dir = provisioned(t, e)
	socket, end := agentOf(t, dir)
	c := atAgent(t, socket, right)
	u, err := c.Initialize(t.Context(), InitRequest{})
	if err != nil {
		t.Fatal(err)
	}
	e.As(t, func(tok sscc.Token) error { return e.Core.UnbindUser(context.Background(), tok, e.App, u.ID) })
	if err := signs(c); err == nil || c.State() != mstcc.Init {
		t.Fatalf("after the administrator's unbind: %v, %s", err, c.State())
	}
	if _, err := c.Initialize(t.Context(), InitRequest{}); err != nil {
		t.Fatal(err)
	}
	e.As(t, func(tok sscc.Token) error { return e.Core.RevokeApp(context.Background(), tok, e.App) })
	if err := signs(c); err == nil || c.State() != mstcc.EOL {
		t.Fatalf("a revoked app's terminal: %v, %s", err, c.State())
	}
	if err := end(); err != nil {
		t.Error(err)
	}
	return dir
}

// A log that was changed from outside stops a provisioning before anything is
// enrolled.
// req: G-7.6-03, G-7.6-04
func TestNoProvisioningOverAChangedLog(t *testing.T) {
	e := clienttest.New(t)
	dir := provisioned(t, e)
	if err := Zeroise(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(dir, "audit", "events-000000000000")
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-10] ^= 1
	if err := os.WriteFile(log, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Provision(t.Context(), dir, e.Ticket(t)); !errors.Is(err, core.Integrity) {
		t.Errorf("provisioned over a changed log: %v", err)
	}
	if n := devices(t, e); n != 1 {
		t.Errorf("%d devices enrolled, want 1", n)
	}
}
