//go:build linux

package plugins_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/plugins"
)

// What a crashed store had been told to write may be written; what it had been
// asked to read was not changed by that.
func TestCrashOfAStoreIsToldTruly(t *testing.T) {
	sup := supervise(t, plugins.Options{})
	b, err := sup.Backend(t.Context(), plugins.Builtin(plugins.KindBackend, "slow"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		call func(context.Context) error
		want core.Code
	}{
		{"write", func(ctx context.Context) error {
			_, err := b.CommitMany(ctx, []core.Mutation{{Key: core.Key("k"), Op: core.OpPut}})
			return err
		}, core.Indeterminate},
		{"read", func(ctx context.Context) error {
			_, err := b.GetMany(ctx, []core.Key{core.Key("k")}, core.ReadOpts{})
			return err
		}, core.Unavailable},
	} {
		if err := sup.Warm(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		i, _ := plugins.InfoOf(b)
		time.AfterFunc(50*time.Millisecond, func() { _ = syscall.Kill(i.PID, syscall.SIGKILL) })
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		if err := c.call(ctx); core.CodeOf(err) != c.want {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		cancel()
	}
	if err := sup.Warm(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	late, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := b.CommitMany(late, []core.Mutation{{Key: core.Key("k"), Op: core.OpPut}}); core.CodeOf(err) != core.Indeterminate {
		t.Errorf("a write that its caller gave up: %v", err)
	}
	pid := sup.List()[0].PID
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	gone(t, pid, time.Second)
	if err := b.Close(); err != nil {
		t.Errorf("a second close: %v", err)
	}
}
