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

// Document fails t when a page of docs is not want, what it is generated as.
// With update it is written first; command is what does that.
func Document(t testing.TB, update bool, page, want, command string) {
	t.Helper()
	path := filepath.Join(Root(), "docs", page)
	if update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != want {
		t.Errorf("docs/%s is not what it is generated from: %s, and read the difference", page, command)
	}
}

// CopySelf writes this test's binary to path with a letter behind it, which
// SelfEnd returns in a process of the copy: a program in versions that differ.
func CopySelf(t testing.TB, path, letter string) {
	t.Helper()
	b, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(b, letter...), 0o700); err != nil {
		t.Fatal(err)
	}
}

// SelfEnd returns the last byte of the running program, on Linux.
func SelfEnd() (string, error) {
	exe, err := os.Open("/proc/self/exe")
	if err != nil {
		return "", err
	}
	defer exe.Close()
	st, err := exe.Stat()
	if err != nil {
		return "", err
	}
	b := make([]byte, 1)
	_, err = exe.ReadAt(b, st.Size()-1)
	return string(b), err
}
