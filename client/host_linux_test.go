package client

import (
	"context"
	"errors"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/keposs/keposs/client/builtin"
	"github.com/keposs/keposs/core"
)

// A source is a process of its own, started once, started again after a crash,
// and gone when the host is closed.
// req: K-10.2.3-01
func TestPluginHost(t *testing.T) {
	var mu sync.Mutex
	var pids []int
	o := Options{Plugins: func(e PluginEvent) {
		mu.Lock()
		defer mu.Unlock()
		if e.What == "started" {
			pids = append(pids, e.PID)
		}
	}}
	started := func() []int {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(pids)
	}
	h, err := openHost(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	for range 2 {
		s, approved, err := h.source(ctx, "pin")
		if err != nil {
			t.Fatal(err)
		}
		if approved {
			t.Error("an image nobody signed counts as approved")
		}
		if info, err := s.Describe(ctx); err != nil || info.Name != "pin" {
			t.Errorf("it calls itself %q, %v", info.Name, err)
		}
	}
	if _, _, err := h.kdf(ctx, DefaultKDF); err != nil {
		t.Fatal(err)
	}
	got := started()
	if len(got) != 2 || got[0] == got[1] || got[0] == syscall.Getpid() {
		t.Fatalf("processes %v, want one for the source and one for the KDF", got)
	}
	if err := syscall.Kill(got[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	again(t, func() error {
		s, _, err := h.source(ctx, "pin")
		if err != nil {
			return err
		}
		_, err = s.Describe(ctx)
		return err
	})
	if n := len(started()); n != 3 {
		t.Errorf("%d starts after a crash, want 3", n)
	}
	for name, err := range map[string]error{
		"source": second(h.source(ctx, "no-such")), "kdf": second(h.kdf(ctx, "no-such")),
	} {
		if !errors.Is(err, core.NotFound) {
			t.Errorf("unknown %s: %v", name, err)
		}
	}
	if err := h.close(); err != nil {
		t.Fatal(err)
	}
	for _, pid := range started() {
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("process %d is still there after close: %v", pid, err)
		}
	}
	if _, _, err := h.source(ctx, "pin"); !errors.Is(err, core.Closed) {
		t.Errorf("after close: %v", err)
	}
}

func second[T any](_ T, _ bool, err error) error { return err }

// again repeats do while the kill of a process is still on its way.
func again(t *testing.T, do func() error) {
	t.Helper()
	var err error
	for range 50 {
		if err = do(); err == nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal(err)
}

// Every built-in works inside the program as well as in a process.
func TestBuiltins(t *testing.T) {
	for _, inProcess := range []bool{true, false} {
		h, err := openHost(Options{InProcess: inProcess})
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		for _, name := range builtin.SourceNames() {
			s, approved, err := h.source(ctx, name)
			if err != nil || approved {
				t.Fatalf("source %s: %v, approved %t", name, err, approved)
			}
			if info, err := s.Describe(ctx); err != nil || info.Name != name {
				t.Errorf("source %s calls itself %q, %v", name, info.Name, err)
			}
		}
		for _, name := range builtin.KDFNames() {
			k, _, err := h.kdf(ctx, name)
			if err != nil {
				t.Fatalf("kdf %s: %v", name, err)
			}
			if info, err := k.Describe(ctx); err != nil || info.Name != name {
				t.Errorf("kdf %s calls itself %q, %v", name, info.Name, err)
			}
		}
		if err := h.close(); err != nil {
			t.Error(err)
		}
	}
}
