package mstcc_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
)

var ctx = context.Background()

// initialised returns a terminal with one user whose PIN is 2580x.
func initialised(t *testing.T) (*terminal, *mstcc.Module, *mstcc.InitResult) {
	t.Helper()
	x := newTerminal(t)
	m := x.open()
	res, err := m.Initialize(ctx, request(t, "pin"), types("right"))
	if err != nil {
		t.Fatal(err)
	}
	return x, m, res
}

// req: K-7.1-01, K-7.1-10, K-7.2-06, K-7.2-08, K-5.1-03, K-6.1-01a, K-6.1-01c, K-6-03, K-7.1-08, K-7.1-06, K-15.5-01a
func TestInitSign(t *testing.T) {
	x, m, res := initialised(t)
	if m.State() != mstcc.User || res.User.IsZero() {
		t.Fatalf("state %s, user %s", m.State(), res.User)
	}
	msg := []byte("pay 5 to bob")
	sig, out, err := m.Sign(ctx, msg, nil, mstcc.OpenOptions{}, types("right"))
	if err != nil {
		t.Fatal(err)
	}
	if !sm.Verify(res.Sign, msg, []byte(protocol.DefaultUserID), sig) {
		t.Error("the signature does not verify under P_M")
	}
	if out.Approved {
		t.Error("a test KDF must not report approved")
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if n := x.srv.asked("confirm"); n != 1 {
		t.Errorf("%d confirms, want 1", n)
	}
	if len(x.srv.tries.Held) != 0 {
		t.Errorf("%d tries still held after a confirmed success", len(x.srv.tries.Held))
	}
	again := x.open()
	if _, _, err := again.Sign(ctx, msg, nil, mstcc.OpenOptions{}, types("right")); err != nil {
		t.Errorf("after reopening: %v", err)
	}
}

// The ten steps of 7.1, the eight of 7.2 and the three of 7.3 come in order.
// req: K-7.1-00, K-7.1-02, K-7.2-02, K-7.3-01, K-7.1-05, K-6.1-06a, K-17.6-L1b, K-16-01
func TestStepsInOrder(t *testing.T) {
	x, m, res := initialised(t)
	sig, _, err := m.Sign(ctx, []byte("m"), nil, mstcc.OpenOptions{}, types("right"))
	if err != nil {
		t.Fatal(err)
	}
	if ok, _, err := m.Verify(ctx, res.Sign, []byte("m"), nil, sig, mstcc.OpenOptions{}, types("right")); err != nil || !ok {
		t.Fatal(ok, err)
	}
	got := map[string][]int{}
	for _, p := range x.steps {
		if p.Step > 0 {
			got[p.Flow] = append(got[p.Flow], p.Step)
		}
	}
	for flow, last := range map[string]int{"7.1": 10, "7.2": 8, "7.3": 3} {
		if len(got[flow]) != last {
			t.Errorf("flow %s: steps %v, want 1 to %d", flow, got[flow], last)
			continue
		}
		for i, s := range got[flow] {
			if s != i+1 {
				t.Errorf("flow %s: steps %v", flow, got[flow])
				break
			}
		}
	}
}

// req: K-7.2-01, K-7.2-D2
func TestUsage(t *testing.T) {
	_, m, _ := initialised(t)
	if _, _, err := m.Sign(ctx, []byte("m"), []byte("KEPOSS-CONFIRM-v1"), mstcc.OpenOptions{}, types("right")); !errors.Is(err, core.Usage) {
		t.Errorf("reserved id: %v", err)
	}
	if _, _, err := m.SignBatch(ctx, nil, nil, mstcc.OpenOptions{}, types("right")); !errors.Is(err, core.Usage) {
		t.Errorf("empty batch: %v", err)
	}
	sigs, _, err := m.SignBatch(ctx, [][]byte{[]byte("a"), []byte("b")}, nil, mstcc.OpenOptions{}, types("right"))
	if err != nil || len(sigs) != 2 || sigs[0] == sigs[1] {
		t.Errorf("batch: %d, %v", len(sigs), err)
	}
	if _, err := m.Initialize(ctx, request(t, "pin"), types("right")); !errors.Is(err, core.State) {
		t.Errorf("second init: %v", err)
	}
}

// req: K-5.3-02a, K-7.2-05, K-15.4-L2b, K-17.3-07, X-14, X-15, F-29, F-30, F-41, K-6.1-06b
func TestWrongPPDLocksAndAdministratorUnlocks(t *testing.T) {
	x, m, _ := initialised(t)
	for i := 1; i <= 5; i++ {
		_, _, err := m.Sign(ctx, []byte("m"), nil, mstcc.OpenOptions{}, types("wrong"))
		if !errors.Is(err, core.Auth) {
			t.Fatalf("try %d: %v, want auth", i, err)
		}
		want := mstcc.User
		if i == 5 {
			want = mstcc.Locked
		}
		if m.State() != want {
			t.Fatalf("after try %d: %s", i, m.State())
		}
	}
	_ = m.Close()
	m = x.open() // K-5.3-02a: a restart gives nothing back
	if m.State() != mstcc.Locked {
		t.Fatalf("after restart: %s", m.State())
	}
	if _, _, err := m.Sign(ctx, []byte("m"), nil, mstcc.OpenOptions{}, types("right")); !errors.Is(err, core.Locked) {
		t.Fatalf("locked: %v", err)
	}
	if n := x.srv.asked("fetch"); n != 5 {
		t.Errorf("%d fetches reached SS-CC, want 5", n)
	}
	x.srv.unlock()
	if _, _, err := m.Sign(ctx, []byte("m"), nil, mstcc.OpenOptions{}, types("right")); err != nil {
		t.Fatalf("after unlock: %v", err)
	}
}

// Deleting the counter does not give tries back: it is Integrity.
// req: X-15, K-15.4-L2b
func TestCounterCannotBeDeleted(t *testing.T) {
	x, m, _ := initialised(t)
	_ = m.Close()
	if err := os.Remove(filepath.Join(x.dir, "tries")); err != nil {
		t.Fatal(err)
	}
	if _, err := mstcc.Open(ctx, x.config()); !errors.Is(err, core.Integrity) {
		t.Errorf("open without counter: %v", err)
	}
}

// Every byte of every local file is authenticated.
// req: K-15-02, K-15-01a, X-06, X-27
func TestTamperedLocalFiles(t *testing.T) {
	x, m, _ := initialised(t)
	_ = m.Close()
	for _, name := range []string{"trust", "tries", "profile"} {
		path := filepath.Join(x.dir, name)
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := range good {
			bad := append([]byte(nil), good...)
			bad[i] ^= 0x40
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			if mod, err := mstcc.Open(ctx, x.config()); err == nil {
				_ = mod.Close()
				t.Errorf("%s: byte %d flipped and accepted", name, i)
			} else if c := core.CodeOf(err); c != core.Integrity && c != core.Invalid {
				t.Errorf("%s: byte %d: %v", name, i, err)
			}
		}
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := mstcc.Open(ctx, x.config()); err != nil {
		t.Errorf("control: untouched files: %v", err)
	}
}

// A policy SS-CC changed is refused before any source is touched (attack test 10).
// req: X-25
func TestTamperedPolicyBeforePrompt(t *testing.T) {
	x, m, _ := initialised(t)
	x.srv.tamper = func(a *protocol.PolicyAnswer) { a.Policy[len(a.Policy)/2] ^= 1 }
	prompted := false
	spy := core.PrompterFunc(func(context.Context, core.Prompt) (core.Sample, error) {
		prompted = true
		return core.Sample{}, core.Errorf(core.Canceled, "test", "")
	})
	_, _, err := m.Sign(ctx, []byte("m"), nil, mstcc.OpenOptions{}, spy)
	if !errors.Is(err, core.Policy) {
		t.Errorf("err = %v, want policy", err)
	}
	if prompted || x.pin.captures != 0 || x.srv.asked("fetch") != 0 {
		t.Errorf("prompted %v, captures %d, fetches %d: the check must come first", prompted, x.pin.captures, x.srv.asked("fetch"))
	}
}

// req: K-7.1-D2, F-32
func TestCancelLeavesNothing(t *testing.T) {
	x := newTerminal(t)
	m := x.open()
	cancel := core.PrompterFunc(func(context.Context, core.Prompt) (core.Sample, error) {
		return core.Sample{}, core.Errorf(core.Canceled, "test", "the person gave up")
	})
	if _, err := m.Initialize(ctx, request(t, "pin"), cancel); !errors.Is(err, core.Canceled) {
		t.Fatalf("err = %v", err)
	}
	if m.State() != mstcc.Init {
		t.Errorf("state %s", m.State())
	}
	entries, _ := os.ReadDir(x.dir)
	if len(entries) != 0 || x.srv.asked("prepare") != 0 {
		t.Errorf("files %v, prepares %d", entries, x.srv.asked("prepare"))
	}
	if _, err := m.Initialize(ctx, request(t, "pin"), types("right")); err != nil {
		t.Errorf("init after cancel: %v", err)
	}
}

// A try certainly not applied is given back; one that may be applied is repeated
// with the same attempt id and counted once.
// req: K-7.1-D1, TK-03
func TestLostReplies(t *testing.T) {
	x, m, _ := initialised(t)
	down := core.Errorf(core.Unavailable, "test", "down")
	x.srv.fail["fetch"] = []error{down, down, down}
	if _, _, err := m.Sign(ctx, []byte("m"), nil, mstcc.OpenOptions{}, types("right")); !errors.Is(err, core.Unavailable) {
		t.Fatalf("err = %v", err)
	}
	if st, _ := m.Status(ctx, false); st.Used != 0 {
		t.Errorf("used %d after an unavailable server, want 0", st.Used)
	}
	x.srv.after["fetch"] = []error{core.Errorf(core.Indeterminate, "test", "reply lost")}
	if _, _, err := m.Sign(ctx, []byte("m"), nil, mstcc.OpenOptions{}, types("right")); err != nil {
		t.Fatalf("after a lost reply: %v", err)
	}
	if x.srv.tries.Seq != 1 {
		t.Errorf("%d tries counted, want 1", x.srv.tries.Seq)
	}
}

// A counter that goes backwards raises the alarm and keeps it.
// req: X-15
func TestRollbackAlarm(t *testing.T) {
	x, m, _ := initialised(t)
	for range 2 {
		_, _, _ = m.Sign(ctx, []byte("m"), nil, mstcc.OpenOptions{}, types("wrong"))
	}
	x.srv.mu.Lock()
	x.srv.tries.Seq, x.srv.tries.Head, x.srv.tries.Held, x.srv.log = 0, protocol.Head{}, nil, nil
	x.srv.mu.Unlock()
	_, out, err := m.Sign(ctx, []byte("m"), nil, mstcc.OpenOptions{}, types("right"))
	if err != nil || !out.Alarm {
		t.Errorf("alarm %v, err %v", out.Alarm, err)
	}
	alarms := 0
	for _, p := range x.steps {
		if p.Flow == "alarm" {
			alarms++
		}
	}
	if alarms != 1 {
		t.Errorf("%d alarms, want 1", alarms)
	}
}

// Stopped at every named point of init, the next run succeeds, SS-CC holds one
// record and the disk holds neither policy nor sealed keys (attack tests 21, 35).
// req: K-7.1-D1, K-7.1-D3, K-17.1-D1, K-7.1-09b, K-6.1-01b
func TestStopAtEveryPointOfInit(t *testing.T) {
	points := map[string]bool{}
	x := newTerminal(t)
	x.hook = func(p string) { points[p] = true }
	if _, err := x.open().Initialize(ctx, request(t, "pin"), types("right")); err != nil {
		t.Fatal(err)
	}
	if len(points) < 6 {
		t.Fatalf("only %d points: %v", len(points), points)
	}
	for point := range points {
		t.Run(point, func(t *testing.T) {
			x := newTerminal(t)
			x.hook = func(p string) {
				if p == point {
					panic(point)
				}
			}
			func() {
				defer func() {
					if recover() != point {
						t.Fatal("did not stop")
					}
				}()
				_, _ = x.open().Initialize(ctx, request(t, "pin"), types("first"))
			}()
			x.hook = nil
			if x.srv.prep != nil {
				searchDisk(t, x, x.srv.prep.Policy, x.srv.prep.Sealed)
			}
			if x.srv.rec != nil {
				searchDisk(t, x, x.srv.rec.policy, x.srv.rec.sealed)
			}
			m := x.open()
			if m.State() != mstcc.User { // committed before the stop: nothing to do
				res, err := m.Initialize(ctx, request(t, "pin"), types("second"))
				if err != nil {
					t.Fatal(err)
				}
				if res.User != x.srv.user {
					t.Errorf("user %s, SS-CC has %s", res.User, x.srv.user)
				}
			}
			if !opens(m, "first") && !opens(m, "second") {
				t.Error("neither the first nor the second PPD opens")
			}
		})
	}
}

func opens(m *mstcc.Module, ppd string) bool {
	_, _, err := m.Sign(ctx, []byte("m"), nil, mstcc.OpenOptions{}, types(ppd))
	return err == nil
}

// searchDisk fails if any 16-byte window of the needles stands in a file.
func searchDisk(t *testing.T, x *terminal, needles ...[]byte) {
	t.Helper()
	_ = filepath.Walk(filepath.Dir(x.dir), func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range needles {
			for i := 0; i+48 <= len(n); i += 48 {
				if strings.Contains(string(b), string(n[i:i+48])) {
					t.Errorf("%s holds bytes %d… of what must not rest here", filepath.Base(path), i)
				}
			}
		}
		return nil
	})
}

// req: K-17.1-08, K-17.1-09, K-17.7-00, F-21, F-22, G-7.11-08, X-27, K-17.1-08b
func TestUnbindAndDeregister(t *testing.T) {
	x, m, _ := initialised(t)
	if err := m.Unbind(ctx, mstcc.OpenOptions{}, types("right")); err != nil {
		t.Fatal(err)
	}
	if m.State() != mstcc.Init || x.srv.rec != nil {
		t.Errorf("state %s, record %v", m.State(), x.srv.rec != nil)
	}
	if _, err := m.Initialize(ctx, request(t, "pin"), types("right")); err != nil {
		t.Fatalf("init after unbind: %v", err)
	}
	if err := m.Deregister(ctx, mstcc.OpenOptions{}, types("right")); err != nil {
		t.Fatal(err)
	}
	if m.State() != mstcc.EOL {
		t.Errorf("state %s", m.State())
	}
	for _, dir := range []string{x.dir, x.dir + "-keys"} {
		entries, _ := os.ReadDir(dir)
		if len(entries) != 0 {
			t.Errorf("%s still holds %v", filepath.Base(dir), entries)
		}
	}
	if _, _, err := m.Sign(ctx, []byte("m"), nil, mstcc.OpenOptions{}, types("right")); !errors.Is(err, core.State) {
		t.Errorf("sign after deregister: %v", err)
	}
}

// Killed between SS-CC's answer and the erasure, the same command ends it.
func TestUnbindResumes(t *testing.T) {
	x, m, _ := initialised(t)
	x.hook = func(p string) {
		if p == "remove.done" {
			panic(p)
		}
	}
	func() {
		defer func() { _ = recover() }()
		_ = m.Unbind(ctx, mstcc.OpenOptions{}, types("right"))
	}()
	x.hook = nil
	m = x.open()
	if err := m.Unbind(ctx, mstcc.OpenOptions{}, types("right")); err != nil {
		t.Fatal(err)
	}
	if m.State() != mstcc.Init {
		t.Errorf("state %s", m.State())
	}
}

// req: K-7.3-03, K-7.3-D1, X-08
func TestVerifyPolicies(t *testing.T) {
	for _, open := range []bool{false, true} {
		x := newTerminal(t)
		x.prof.VerifyOpen = open
		m := x.open()
		res, err := m.Initialize(ctx, request(t, "pin"), types("right"))
		if err != nil {
			t.Fatal(err)
		}
		msg := []byte("m")
		sig, _, err := m.Sign(ctx, msg, nil, mstcc.OpenOptions{}, types("right"))
		if err != nil {
			t.Fatal(err)
		}
		before := x.srv.asked("fetch")
		ok, _, err := m.Verify(ctx, res.Sign, msg, nil, sig, mstcc.OpenOptions{}, nil)
		if open && (err != nil || !ok || x.srv.asked("fetch") != before) {
			t.Errorf("open: %v %v", ok, err)
		}
		if !open && !errors.Is(err, core.Usage) {
			t.Errorf("strict without prompter: %v", err)
		}
		ok, _, err = m.Verify(ctx, res.Sign, msg, nil, sig, mstcc.OpenOptions{}, types("right"))
		if err != nil || !ok {
			t.Errorf("with prompter: %v %v", ok, err)
		}
		sig[5] ^= 1
		if ok, _, _ := m.Verify(ctx, res.Sign, msg, nil, sig, mstcc.OpenOptions{}, types("right")); ok {
			t.Error("a flipped signature verifies")
		}
	}
}

// A caller that was killed before it kept step 10 gets it again, and only that.
// req: K-7.1-10, X-07, X-06
func TestDelivery(t *testing.T) {
	x := newTerminal(t)
	m := x.open()
	if res, err := m.Delivery(); res != nil || err != nil {
		t.Fatalf("before initialisation: %+v, %v", res, err)
	}
	first, err := m.Initialize(ctx, request(t, "pin"), types("right"))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	asked := len(x.srv.calls)
	again, err := x.open().Delivery()
	if err != nil || !again.Resumed || again.User != first.User || again.Sign != first.Sign || again.Enc != first.Enc {
		t.Errorf("again %+v, %v; first %+v", again, err, first)
	}
	if len(x.srv.calls) != asked {
		t.Error("SS-CC was asked")
	}
}
