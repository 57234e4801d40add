package client

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/keposs/keposs/client/clienttest"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/ppd/face"
	"github.com/keposs/keposs/ppd/ppdtest"
)

// answers gives entries from one map and enrolments from another, by label.
type answers struct{ enter, enrol map[string]string }

func (a answers) Ask(_ context.Context, q Prompt) (Sample, error) {
	from := a.enrol
	if q.Purpose == core.PurposeRecover {
		from = a.enter
	}
	v, ok := from[q.Label]
	if !ok {
		return Sample{}, core.Errorf(core.Canceled, "test", "nobody expected to be asked for %s", q.Label)
	}
	return NewSample(q.Kinds[0], []byte(v)), nil
}

var old = map[string]string{"pin": "271828", "gesture": "1-6-7-2-9-4", "pin:work": "618034"}

const threeWays = "2 of (pin, gesture, pin:work)"

// living returns a user of threeWays at a real SS-CC.
func living(t *testing.T) (*clienttest.Escrow, *Client, *Initialized) {
	t.Helper()
	e := clienttest.New(t)
	c := opened(t, provisioned(t, e), answers{enrol: old}, func(o *Options) { o.InProcess = true })
	u, err := c.Initialize(t.Context(), InitRequest{Policy: threeWays})
	if err != nil {
		t.Fatal(err)
	}
	return e, c, u
}

// reopened closes c and opens its folder with another prompter.
func reopened(t *testing.T, c *Client, p Prompter) *Client {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	return opened(t, c.folder.dir, p, func(o *Options) { o.InProcess = true })
}

func signs(c *Client, factors ...string) error {
	_, err := c.Sign(context.Background(), SignRequest{Message: []byte("m"), Factors: factors})
	return err
}

// A PIN is changed, a factor removed, the cost raised, over the real protocol.
// req: K-17.1-D1
func TestChangeFactors(t *testing.T) {
	_, c, _ := living(t)
	ctx := t.Context()
	r := ChangeRequest{Replace: []string{"pin"}, Factors: []string{"gesture", "pin:work"}}
	plan, err := c.PlanChange(ctx, r)
	if err != nil || plan.Revoke || !slices.Equal(plan.Open, []string{"gesture", "pin:work"}) {
		t.Fatalf("plan %+v, %v", plan, err)
	}
	for _, n := range plan.Needs {
		if want := map[string]string{"pin": "enrol"}[n.Label]; n.How != want && n.How != "nothing" {
			t.Errorf("%s of %s, %s", n.How, n.Label, n.Why)
		}
	}
	fresh := map[string]string{"pin": "580194"}
	c = reopened(t, c, answers{enter: old, enrol: fresh})
	if got, err := c.Change(ctx, r); err != nil || got.Epoch != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	now := map[string]string{"pin": "580194", "gesture": old["gesture"], "pin:work": old["pin:work"]}
	if err := signs(c, "pin", "gesture"); !errors.Is(err, Auth) {
		t.Errorf("the old PIN: %v, want auth", err)
	}
	c = reopened(t, c, answers{enter: now, enrol: now})
	if err := signs(c, "pin", "gesture"); err != nil {
		t.Errorf("the new PIN: %v", err)
	}
	plan, text, err := c.PlanRemoval(ctx, "pin:work")
	if err != nil || !plan.Revoke && text != "gesture & pin" {
		t.Fatalf("removal: %+v, %q, %v", plan, text, err)
	}
	if plan.Revoke {
		t.Errorf("removing one of three: %s", plan.Why)
	}
	if got, err := c.Change(ctx, ChangeRequest{Policy: text, KDF: "pbkdf2sm3$i=2048"}); err != nil || got.Policy != text {
		t.Fatalf("%+v, %v", got, err)
	}
	p, err := c.Policy(ctx)
	if err != nil || p.Tree.String() != text || p.KDF.String() != "pbkdf2sm3$i=2048" || p.Epoch != 3 {
		t.Errorf("policy %+v, %v", p, err)
	}
	if err := signs(c); err != nil {
		t.Error(err)
	}
	if _, err := c.Change(ctx, ChangeRequest{KDF: "pbkdf2sm3$i=1024"}); !errors.Is(err, core.Policy) {
		t.Errorf("a lower cost: %v, want policy", err)
	}
}

// keeps shows a sheet by keeping a copy of it.
func keeps(t *testing.T, into **Sheet) ShowSheet {
	return func(_ context.Context, s *Sheet) error {
		payload, words := s.Payload(), s.Code.Words()
		defer payload.Wipe()
		defer words.Wipe()
		a, err := ParseSheet(payload.Bytes())
		if err != nil {
			return err
		}
		b, err := ParseSheetWords(words.Bytes(), []byte(s.Details()))
		if err != nil {
			return err
		}
		if a.Bind != b.Bind || a.User != b.User {
			t.Error("the words and the payload are two sheets")
		}
		*into = a
		return nil
	}
}

// A sheet is made; a revoke into hardened mode replaces it; a new terminal
// recovers with the new one. The user's keys stay all the way.
// req: K-17.1-D1
func TestSheetRevokeRecover(t *testing.T) {
	e, c, u := living(t)
	ctx := t.Context()
	var first, second, third *Sheet
	c = reopened(t, c, answers{enter: old, enrol: old})
	if _, err := c.CreateRecovery(ctx, keeps(t, &first)); err != nil {
		t.Fatal(err)
	}
	if first.Endpoint != e.Endpoint || first.User != u.ID {
		t.Errorf("the sheet names %s at %s", first.User, first.Endpoint)
	}
	if _, err := c.CreateRecovery(ctx, keeps(t, &first)); !errors.Is(err, core.Conflict) {
		t.Errorf("a second code: %v, want conflict", err)
	}
	fresh := map[string]string{"pin": "580194", "gesture": "4-9-2-7-6-1", "pin:work": "739105"}
	c = reopened(t, c, answers{enter: old, enrol: fresh})
	got, err := c.Revoke(ctx, RevokeRequest{Hardened: true, Sheet: keeps(t, &second)})
	if err != nil || got.MKGen != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	c = reopened(t, c, answers{enter: fresh})
	if err := signs(c); err != nil {
		t.Fatalf("after the revoke: %v", err)
	}
	if st, err := c.Status(ctx, true); err != nil || st.Profile.Mode.String() != "hardened" || st.ServerErr != nil {
		t.Errorf("status %+v, %v", st, err)
	}
	other := func(p Prompter) *Client {
		return opened(t, provisioned(t, e), p, func(o *Options) { o.InProcess = true })
	}
	stale := other(answers{enter: fresh, enrol: fresh})
	if _, err := stale.Recover(ctx, RecoverRequest{Sheet: first}); !errors.Is(err, Refused) {
		t.Errorf("the first sheet: %v, want refused", err)
	}
	last := map[string]string{"pin": "902746", "gesture": "3-4-9-2-7-6", "pin:work": "480273"}
	n := other(answers{enter: fresh, enrol: last})
	ways := 0
	res, err := n.Recover(ctx, RecoverRequest{Sheet: second, Then: RevokeRequest{Sheet: keeps(t, &third)},
		Choose: func(_ string, w [][]string) []string { ways = len(w); return []string{"pin", "pin:work"} }})
	if err != nil || res.User != u.User || ways != 3 {
		t.Fatalf("%+v, %v; %d ways", res, err, ways)
	}
	if kept, err := n.User(); err != nil || kept != u.User {
		t.Errorf("kept %+v, %v", kept, err)
	}
	n = reopened(t, n, answers{enter: last})
	if err := signs(n, "gesture", "pin:work"); err != nil {
		t.Errorf("on the new terminal: %v", err)
	}
	if err := signs(c); !errors.Is(err, Refused) {
		t.Errorf("on the old terminal: %v, want refused", err)
	}
	if third == nil || third.Bind == second.Bind {
		t.Error("no new sheet")
	}
}

// measured is a person whose face and finger are seen a little differently each time.
type measured struct {
	answers
	face   *ppdtest.Faces
	finger core.Prompter
	shots  int // of either
	asked  []string
}

func (m *measured) Ask(ctx context.Context, q Prompt) (Sample, error) {
	how := "enrol "
	if q.Purpose == core.PurposeRecover {
		how = "enter "
	}
	m.asked = append(m.asked, how+q.Label)
	switch q.Label {
	case "face":
		m.shots++
		return NewSample(core.SampleFaceEmbedding, face.EncodeRaw(m.face.Capture(1, m.shots))), nil
	case "fingerprint":
		m.shots++
		return m.finger.Ask(ctx, q)
	}
	return m.answers.Ask(ctx, q)
}

// The built-in biometric sources, not stand-ins: a changed PIN, a raised cost, an
// added factor and a recovery code ask for no face and no finger, and those
// enrolled once go on opening (attack test 28).
func TestBiometricsSurviveChanges(t *testing.T) {
	e := clienttest.New(t)
	ctx := t.Context()
	who := &measured{
		answers: answers{enter: map[string]string{"pin": old["pin"], "gesture": old["gesture"]}, enrol: old},
		face:    ppdtest.NewFaces(128, 7), finger: ppdtest.Finger(7),
	}
	c := opened(t, provisioned(t, e), who, func(o *Options) { o.InProcess = true })
	if _, err := c.Initialize(ctx, InitRequest{Policy: "pin & (face | fingerprint | gesture)"}); err != nil {
		t.Fatal(err)
	}
	enrolled := who.shots
	opens := func(when string) {
		t.Helper()
		for _, label := range []string{"face", "fingerprint"} {
			var err error
			for range 3 { // a sensor may see a bad day; the person then tries again
				if err = signs(c, "pin", label); err == nil {
					break
				}
			}
			if err != nil {
				t.Errorf("%s: the %s no longer opens: %v", when, label, err)
			}
		}
	}
	opens("at first")
	var kept *Sheet
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"a changed PIN", func() error {
			who.enrol = map[string]string{"pin": "580194"}
			_, err := c.Change(ctx, ChangeRequest{Replace: []string{"pin"}, Factors: []string{"pin", "gesture"}})
			who.enter["pin"] = "580194"
			return err
		}},
		{"a raised cost", func() error {
			_, err := c.Change(ctx, ChangeRequest{KDF: "pbkdf2sm3$i=2048", Factors: []string{"pin", "gesture"}})
			return err
		}},
		{"an added factor", func() error {
			who.enrol = old
			_, err := c.Change(ctx, ChangeRequest{Policy: "pin & (face | fingerprint | gesture | pin:work)", Factors: []string{"pin", "gesture"}})
			who.enter["pin:work"] = old["pin:work"]
			return err
		}},
		{"a recovery code", func() error {
			_, err := c.CreateRecovery(ctx, keeps(t, &kept), "pin", "gesture")
			return err
		}},
	} {
		shots := who.shots
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if who.shots != shots {
			t.Errorf("%s: a face or a finger was presented", step.name)
		}
		opens(step.name)
	}
	n := 0
	for _, a := range who.asked {
		if a == "enrol face" || a == "enrol fingerprint" {
			n++
		}
	}
	if n != enrolled {
		t.Errorf("%d captures for enrolments, %d at the first", n, enrolled)
	}
}
