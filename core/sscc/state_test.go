package sscc_test

import (
	"context"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/sscc"
)

// officer tells the states of the officer's region.
func officer(s sscc.State) bool {
	return s == sscc.CSPEntry || s == sscc.Admin || s == sscc.Locked
}

// in returns a machine in state s, brought there by rows of the table alone.
func in(t *testing.T, s sscc.State) *sscc.Machine {
	t.Helper()
	type step struct {
		e sscc.Event
		g sscc.Guard
	}
	sealed := []step{{sscc.EvLoad, sscc.GuardSetUp}, {sscc.EvPass, sscc.GuardAdminSet}}
	serving := append(sealed[:2:2], step{sscc.EvLogin, ""}, step{sscc.EvPasswordOk, ""}, step{sscc.EvLogout, sscc.GuardStoreOpen})
	paths := map[sscc.State][]step{
		sscc.Off:      nil,
		sscc.Factory:  {{sscc.EvInstall, sscc.GuardImageSigned}},
		sscc.SelfTest: {{sscc.EvLoad, sscc.GuardSetUp}},
		sscc.Init:     {{sscc.EvInstall, sscc.GuardImageSigned}, {sscc.EvFirstStart, ""}, {sscc.EvPass, sscc.GuardNoAdmin}},
		sscc.Sealed:   sealed,
		sscc.CSPEntry: append(sealed[:2:2], step{sscc.EvLogin, ""}),
		sscc.Admin:    append(sealed[:2:2], step{sscc.EvLogin, ""}, step{sscc.EvPasswordOk, ""}),
		sscc.Locked:   append(sealed[:2:2], step{sscc.EvLogin, ""}, step{sscc.EvPasswordBad, sscc.GuardTriesGone}),
		sscc.Serving:  serving,
		sscc.Approved: append(serving[:5:5], step{sscc.EvPeerRequest, sscc.GuardAuthenticated}),
		sscc.Error:    {{sscc.EvLoad, sscc.GuardSetUp}, {sscc.EvFail, ""}},
		sscc.EOL:      append(sealed[:2:2], step{sscc.EvLogin, ""}, step{sscc.EvPasswordOk, ""}, step{sscc.EvDecommission, sscc.GuardConfirmed}),
	}
	m := sscc.NewMachine(nil)
	for _, st := range paths[s] {
		if err := m.Fire(st.e, st.g); err != nil {
			t.Fatalf("on the way to %s: %v", s, err)
		}
	}
	if now := m.State(); officer(s) && m.Officer() != s || !officer(s) && now != s {
		t.Fatalf("got to %s/%s, want %s", now, m.Officer(), s)
	}
	return m
}

// Every row is taken from its state; every pair of state and event without a
// row is refused and changes nothing.
// req: K-17.3-00, TK-05
// req: S-01, S-02, S-03, S-04, S-05, S-06, S-07, S-08, S-09, S-10, S-11, S-12, S-13, S-14, S-15, S-16
// req: S-17, S-18, S-19, S-20, S-21, S-22, S-23, S-24, S-25, S-26, S-27, S-28, S-29, S-30, S-31, S-32
func TestEveryRow(t *testing.T) {
	events, guards := map[sscc.Event]bool{}, map[sscc.Guard]bool{}
	for _, row := range sscc.Table {
		events[row.Event], guards[row.Guard] = true, true
	}
	for _, from := range sscc.States() {
		for e := range events {
			for g := range guards {
				m := in(t, from)
				serving, off := m.State(), m.Officer()
				row, ok := sscc.Transition{}, false
				for _, r := range sscc.Table {
					if r.Event == e && r.Guard == g && r.From == from {
						row, ok = r, true
					}
				}
				for _, r := range sscc.Table { // the other region answers what this one does not
					if !ok && officer(from) && r.Event == e && r.Guard == g && r.From == serving && e != sscc.EvLogin {
						row, ok = r, true
					}
					// beside a request under way
					if !ok && from == sscc.Approved && r.From == sscc.Serving && r.Event == e && r.Guard == g &&
						(e == sscc.EvPeerRequest || e == sscc.EvLogin || e == sscc.EvSelfTestRequest) {
						row, ok = r, true
					}
				}
				err := m.Fire(e, g)
				if !ok {
					if core.CodeOf(err) != core.State || m.State() != serving || m.Officer() != off {
						t.Fatalf("%s, %s [%s]: got %v and %s/%s, want a refusal that changes nothing", from, e, g, err, m.State(), m.Officer())
					}
					continue
				}
				if err != nil {
					t.Fatalf("row %s: %v", row.ID, err)
				}
				if row.Event == sscc.EvCancel || row.Event == sscc.EvWaitOver { // ends the officer's region only
					if m.Officer() != sscc.NoOfficer || m.State() != serving {
						t.Fatalf("row %s: in %s/%s, want %s", row.ID, m.State(), m.Officer(), serving)
					}
					continue
				}
				if officer(row.To) && m.Officer() != row.To || !officer(row.To) && m.State() != row.To {
					t.Fatalf("row %s: in %s/%s, want %s", row.ID, m.State(), m.Officer(), row.To)
				}
			}
		}
	}
}

// The table is complete: rows S-01 to S-32, unique but for S-32's seven states.
// req: G-7.11-04, TK-05
func TestTableIsWhole(t *testing.T) {
	seen := map[string]int{}
	for _, r := range sscc.Table {
		seen[r.ID]++
	}
	for i := 1; i <= 32; i++ {
		id := "S-" + string(rune('0'+i/10)) + string(rune('0'+i%10))
		if n := seen[id]; n != 1 && !(id == "S-32" && n == 7) {
			t.Errorf("row %s stands %d times", id, n)
		}
	}
	// Each state but OFF is reached and left; from each, OFF is reached.
	for _, s := range sscc.States() {
		reached, left := s == sscc.Off, false
		for _, r := range sscc.Table {
			reached = reached || r.To == s
			left = left || r.From == s
		}
		if !reached || !left {
			t.Errorf("state %s: reached %v, left %v", s, reached, left)
		}
	}
}

// The officer's session and serving go side by side (S-33).
// req: S-33
func TestTwoRegions(t *testing.T) {
	m := in(t, sscc.Approved)
	for _, st := range []struct {
		e    sscc.Event
		g    sscc.Guard
		serv sscc.State
		off  sscc.State
	}{
		{sscc.EvLogin, "", sscc.Approved, sscc.CSPEntry},
		{sscc.EvPeerRequest, sscc.GuardAuthenticated, sscc.Approved, sscc.CSPEntry},
		{sscc.EvDone, "", sscc.Approved, sscc.CSPEntry},
		{sscc.EvPasswordOk, "", sscc.Approved, sscc.Admin},
		{sscc.EvSoftFail, "", sscc.Serving, sscc.Admin},
		{sscc.EvLogout, sscc.GuardStoreOpen, sscc.Serving, sscc.NoOfficer},
	} {
		if err := m.Fire(st.e, st.g); err != nil || m.State() != st.serv || m.Officer() != st.off {
			t.Fatalf("%s: %v, %s/%s, want %s/%s", st.e, err, m.State(), m.Officer(), st.serv, st.off)
		}
	}
}

// The life of a server: what each state allows.
// req: K-10.3-01, G-7.4-09, S-01, S-02, S-04, S-05, S-06, S-07, S-14, S-15, S-16, S-22, S-27, K-17.7-00, G-7.11-08, G-7.2-04
func TestLife(t *testing.T) {
	r := &realm{t: t, b: newTable(), clock: &clock{t: time.Unix(1_800_000_000, 0)}}
	fail := false
	r.cfg = baseConfig(r.b, r.clock)
	r.cfg.SelfTests = []sscc.SelfTestCase{{Name: "probe", Run: func(context.Context) error {
		if fail {
			return errors.New("worn out")
		}
		return nil
	}}}
	s := r.start()
	if s.State() != sscc.Init {
		t.Fatalf("first start leaves %s", s.State())
	}
	_, err := s.Login(bg, password(adminPassword))
	want(t, err, core.State)
	for _, weak := range []string{"", "short", "aaaaaaaaaaaaaaaa"} {
		want(t, s.SetPassword(bg, password(weak), password(weak)), core.Invalid)
	}
	want(t, s.SetPassword(bg, password(adminPassword), password("another one here")), core.Invalid)
	r.must(s.SetPassword(bg, password(adminPassword), password(adminPassword)))
	want(t, s.SetPassword(bg, password(adminPassword), password(adminPassword)), core.State)
	if s.State() != sscc.Sealed {
		t.Fatalf("after set-up %s", s.State())
	}
	_, err = s.EnrolChallenge(bg, newID())
	want(t, err, core.State)
	want(t, s.Health(bg), core.State)
	tok, err := s.Login(bg, password(adminPassword))
	r.must(err)
	_, err = s.EnrolChallenge(bg, newID())
	want(t, err, core.State)
	r.must(s.Logout(bg, tok))
	r.must(s.Health(bg))
	r.must(s.SelfTest(bg))
	fail = true
	want(t, s.SelfTest(bg), core.Integrity)
	if s.State() != sscc.Error {
		t.Fatalf("after a failed self-test %s", s.State())
	}
	want(t, s.Reset(bg), core.Integrity)
	fail = false
	r.must(s.Reset(bg))
	if s.State() != sscc.Sealed {
		t.Fatalf("after reset %s", s.State())
	}
	tok, err = s.Login(bg, password(adminPassword))
	r.must(err)
	r.must(s.Seal(bg, tok))
	_, err = s.Apps(bg, tok)
	want(t, err, core.State)
	tok, err = s.Login(bg, password(adminPassword))
	r.must(err)
	want(t, s.Decommission(bg, tok, newID()), core.Usage)
	id, _, _, err := s.Realm(bg)
	r.must(err)
	r.must(s.Decommission(bg, tok, id))
	if s.State() != sscc.EOL {
		t.Fatalf("after decommission %s", s.State())
	}
	r.must(s.Close())
	dead, err := sscc.New(r.cfg)
	r.must(err)
	want(t, dead.Start(bg), core.State)
}

// A hard fault wipes the keys and answers nobody.
// req: S-23, G-7.10-03, K-17.3-08
func TestHardFault(t *testing.T) {
	r := newRealm(t)
	id := r.app(sscc.AppRequest{})
	r.HardFault("test")
	if r.State() != sscc.Error {
		t.Fatalf("state %s", r.State())
	}
	_, err := r.EnrolChallenge(bg, id)
	want(t, err, core.State)
	_, err = r.Login(bg, password(adminPassword))
	want(t, err, core.State)
	r.must(r.Reset(bg))
	r.must(r.Unseal(bg, password(adminPassword)))
	r.must(r.Health(bg))
}

// Only table.go names transitions: no other file of the package writes one.
func TestTableIsTheOnlySource(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile(`"S-\d\d", [A-Z]`)
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") || e.Name() == "table.go" {
			continue
		}
		b, err := os.ReadFile(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		if row.Match(b) {
			t.Errorf("%s holds a row of the state table", e.Name())
		}
	}
}
