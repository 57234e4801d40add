//go:build linux

package plugins_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keposs/keposs/plugins"
)

// A long TMPDIR leaves no room for a socket's path: plugins start all the same.
func TestLongTemporaryFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long-", 20))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir)
	s := source(t, supervise(t, plugins.Options{}), builtin("echo"))
	if _, err := s.Describe(t.Context()); err != nil {
		t.Fatal(err)
	}
}
