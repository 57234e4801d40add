// Package testenv finds what tests need from outside the module: shared data,
// the test level, real servers. What is missing skips the test with a reason.
package testenv

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
)

// Root returns the module's root folder.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

// Data returns a path below the shared data folder: KEPOSS_DATA, or
// ../shared/data seen from the module root. It skips t when it is absent.
func Data(t testing.TB, sub ...string) string {
	t.Helper()
	base := os.Getenv("KEPOSS_DATA")
	if base == "" {
		base = filepath.Join(Root(), "..", "shared", "data")
	}
	path := filepath.Join(append([]string{base}, sub...)...)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("shared data absent: set KEPOSS_DATA to a folder holding %s", filepath.Join(sub...))
	}
	return path
}

// Level is KEPOSS_TEST_LEVEL: 0 fast (default), 1 in CI, 2 long.
func Level() int {
	n, err := strconv.Atoi(os.Getenv("KEPOSS_TEST_LEVEL"))
	if err != nil {
		return 0
	}
	return n
}

// NeedLevel skips t below level n.
func NeedLevel(t testing.TB, n int) {
	t.Helper()
	if Level() < n {
		t.Skipf("runs at KEPOSS_TEST_LEVEL=%d", n)
	}
}
