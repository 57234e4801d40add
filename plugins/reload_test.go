//go:build linux

package plugins_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/plugins"
)

// measured is the test binary's digest.
var measured = sync.OnceValue(func() [32]byte {
	b, err := os.ReadFile(os.Args[0])
	if err != nil {
		panic(err)
	}
	return sm.SM3(b)
})

// local is the test binary as a plugin the operator vouches for, in a version
// of its own.
func local(kind, name, version string) plugins.Entry {
	return plugins.Entry{Kind: kind, Name: name, Path: os.Args[0], Digest: measured(), Trust: plugins.TrustLocal, Env: []string{toyVersion + "=" + version}}
}

// A new version takes over with the settings of the old one; a collection that
// has begun ends where it began.
func TestReloadSource(t *testing.T) {
	var mu sync.Mutex
	var told []string
	sup := supervise(t, plugins.Options{Events: func(e plugins.Event) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, e.What)
	}})
	one, two := local(plugins.KindSource, "echo", "1"), local(plugins.KindSource, "echo", "2")
	sup.Seal(one)
	s := source(t, sup, one)
	if err := s.Configure(t.Context(), core.Config{Values: map[string]string{"format": "kept"}}); err != nil {
		t.Fatal(err)
	}
	before, _ := plugins.InfoOf(s)
	c, err := s.Capture(t.Context(), core.CaptureRequest{}, say("begun"))
	if err != nil {
		t.Fatal(err)
	}
	if err := sup.Reload(t.Context(), two, nil); err != nil {
		t.Fatal(err)
	}
	after, _ := plugins.InfoOf(s)
	if before.Version != "1" || after.Version != "2" || after.PID == before.PID || after.PID == 0 || after.Approved {
		t.Fatalf("before %+v, after %+v", before, after)
	}
	got, err := c.Recover(t.Context(), core.RecoverRequest{})
	if err != nil || string(got.Bytes()) != "begun" {
		t.Errorf("the collection that had begun: %v", err)
	}
	_ = c.Close()
	gone(t, before.PID, 5*time.Second)
	if text, helper, err := enroll(t, s, say("new")); err != nil || text != "new" || helper != "kept" {
		t.Errorf("enrolled %q with settings %q: %v", text, helper, err)
	}
	three := local(plugins.KindSource, "echo", "3")
	if err := sup.Reload(t.Context(), three, &core.Config{Values: map[string]string{"format": "changed"}}); err != nil {
		t.Fatal(err)
	}
	if _, helper, err := enroll(t, s, say("new")); err != nil || helper != "changed" {
		t.Errorf("with settings %q: %v", helper, err)
	}
	// The sealed set holds the new version in the place of the old.
	if _, err := sup.Source(t.Context(), one); !errors.Is(err, core.Integrity) {
		t.Errorf("the old version is still admitted: %v", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if strings.Join(told, " ") != "started reloaded reloaded" {
		t.Errorf("events %v", told)
	}
}

// A store is handed over: no call is lost, none overlaps.
func TestReloadBackend(t *testing.T) {
	sup := supervise(t, plugins.Options{})
	b, err := sup.Backend(t.Context(), local(plugins.KindBackend, "steady", "1"))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Configure(t.Context(), core.Config{Values: map[string]string{"lock": t.TempDir() + "/lock"}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var callers sync.WaitGroup
	var calls int
	callers.Go(func() {
		for ctx.Err() == nil {
			if _, err := b.GetMany(t.Context(), []core.Key{core.Key("k")}, core.ReadOpts{}); err != nil {
				t.Errorf("call %d: %v", calls, err)
				return
			}
			calls++
		}
	})
	for _, version := range []string{"2", "3"} {
		if err := sup.Reload(t.Context(), local(plugins.KindBackend, "steady", version), nil); err != nil {
			t.Fatal(err)
		}
		if i, _ := plugins.InfoOf(b); i.Version != version || i.State != plugins.StateRunning {
			t.Errorf("it is %+v", i)
		}
	}
	// One that refuses its settings leaves the old version serving.
	if err := sup.Reload(t.Context(), local(plugins.KindBackend, "steady", "refuses"), nil); !errors.Is(err, core.Invalid) {
		t.Errorf("a version that refuses: %v", err)
	}
	if i, _ := plugins.InfoOf(b); i.Version != "3" || i.State != plugins.StateRunning {
		t.Errorf("after a refusal it is %+v", i)
	}
	cancel()
	callers.Wait()
	if calls == 0 {
		t.Error("no call was made meanwhile")
	}
}

// What does not start changes nothing, and nothing but the operator's own is
// ever changed.
func TestReloadRefuses(t *testing.T) {
	sup := supervise(t, plugins.Options{})
	one := local(plugins.KindSource, "echo", "1")
	s := source(t, sup, one)
	if err := sup.Warm(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	before, _ := plugins.InfoOf(s)
	changed := local(plugins.KindSource, "echo", "2")
	changed.Digest[0] ^= 1
	var start *plugins.StartError
	if err := sup.Reload(t.Context(), changed, nil); !errors.As(err, &start) || start.Reason != plugins.Digest {
		t.Errorf("a changed file: %v", err)
	}
	ends := local(plugins.KindSource, "echo", "ends")
	if err := sup.Reload(t.Context(), ends, nil); !errors.As(err, &start) || start.Reason != plugins.ExitedEarly {
		t.Errorf("a version that does not start: %v", err)
	}
	approved := local(plugins.KindSource, "echo", "2")
	approved.Trust = plugins.TrustApproved
	if err := sup.Reload(t.Context(), approved, nil); !errors.Is(err, core.Integrity) {
		t.Errorf("an approved one: %v", err)
	}
	if err := sup.Reload(t.Context(), local(plugins.KindSource, "noisy", "2"), nil); !errors.Is(err, core.NotFound) {
		t.Errorf("one that is not in use: %v", err)
	}
	if _, err := sup.Source(t.Context(), builtin("envspy")); err != nil {
		t.Fatal(err)
	}
	if err := sup.Reload(t.Context(), local(plugins.KindSource, "envspy", "2"), nil); !errors.Is(err, core.Integrity) {
		t.Errorf("in the place of a built-in one: %v", err)
	}
	after, _ := plugins.InfoOf(s)
	if after.PID != before.PID || after.State != plugins.StateRunning {
		t.Errorf("it was %+v and is %+v", before, after)
	}
	if err := sup.Close(); err != nil {
		t.Fatal(err)
	}
	if err := sup.Reload(t.Context(), one, nil); !errors.Is(err, core.Closed) {
		t.Errorf("a closed supervisor: %v", err)
	}
}
