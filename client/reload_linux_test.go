package client

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/internal/testenv"
	"github.com/keposs/keposs/plugins"
)

// pinVersion pins this test binary as the source mine, in a version of one letter.
func pinVersion(t *testing.T, p PinnedPlugins, version string) {
	t.Helper()
	dir := t.TempDir()
	testenv.CopySelf(t, filepath.Join(dir, "mine"), version)
	if _, err := p.Pin(PinRequest{Kind: plugins.KindSource, Name: "mine", Version: version, Root: dir, Main: "mine"}); err != nil {
		t.Fatal(err)
	}
}

// A host that stays open serves the version that is pinned, once it is told to.
func TestReloadPlugins(t *testing.T) {
	p := PinnedPlugins{Dir: filepath.Join(t.TempDir(), "plugins")}
	pinVersion(t, p, "1")
	h, err := openHost(Options{Pinned: p.Dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := h.close(); err != nil {
			t.Error(err)
		}
	}()
	s, _, err := h.source(t.Context(), "mine")
	if err != nil {
		t.Fatal(err)
	}
	is := func(want string) {
		t.Helper()
		if i, err := s.Describe(t.Context()); err != nil || i.Version != want {
			t.Errorf("version %q, want %q: %v", i.Version, want, err)
		}
	}
	is("1")
	pinVersion(t, p, "2")
	is("1")
	for _, want := range [][]string{{"source mine"}, nil} {
		if changed, err := h.reload(t.Context()); err != nil || !slices.Equal(changed, want) {
			t.Errorf("changed %v, want %v: %v", changed, want, err)
		}
		is("2")
	}

	// A copy that somebody changed is not taken over.
	pinVersion(t, p, "3")
	copied := filepath.Join(p.Dir, "files", files(t, p)[0], "mine")
	if err := os.WriteFile(copied, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := h.reload(t.Context()); !errors.Is(err, core.Integrity) {
		t.Errorf("a changed copy: %v", err)
	}
	is("2")
	if _, _, err := h.source(t.Context(), "pin"); err != nil {
		t.Errorf("a built-in source beside it: %v", err)
	}
}
