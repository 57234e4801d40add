// Package etcdserver runs real etcd clusters on this machine's loopback
// addresses for tests and for the laboratory: the server is built from the Go
// module proxy once and kept in the user's cache folder.
package etcdserver

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Version is that of the server that is built.
const Version = "v3.7.3"

// ErrAbsent says that there is no server here; what is wrapped with it says why.
var ErrAbsent = errors.New("no etcd server here")

// The module that is built: etcd's own main package, with every version and
// checksum fixed.
var (
	//go:embed build/mod.txt
	mod []byte
	//go:embed build/sum.txt
	sum []byte
	//go:embed build/main.txt
	source []byte
)

// Binary is where the built server lies; an error is ErrAbsent.
func Binary() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("%w: no cache folder: %w", ErrAbsent, err)
	}
	path := filepath.Join(base, "keposs-ci", "etcd-"+Version, "etcd")
	if _, err := os.Stat(path); err != nil {
		return path, fmt.Errorf("%w: not built yet", ErrAbsent)
	}
	return path, nil
}

// Build returns the server's path and builds it where it is missing: a minute
// on two cores. It needs the go command and the module proxy or its cache.
func Build(ctx context.Context) (string, error) {
	path, err := Binary()
	if err == nil || path == "" {
		return path, err
	}
	dir, err := os.MkdirTemp("", "keposs-etcd-build-")
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrAbsent, err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for name, content := range map[string][]byte{"go.mod": mod, "go.sum": sum, "main.go": source} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return "", fmt.Errorf("%w: %w", ErrAbsent, err)
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", fmt.Errorf("%w: %w", ErrAbsent, err)
	}
	// Built beside its place and moved there whole: tests of several packages
	// may build at once.
	made := fmt.Sprintf("%s.%d", path, os.Getpid())
	defer func() { _ = os.Remove(made) }()
	c := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", made, ".")
	c.Dir = dir
	c.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly -buildvcs=false", "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		if len(out) > 400 {
			out = out[len(out)-400:]
		}
		return "", fmt.Errorf("%w: go build: %w: %s", ErrAbsent, err, out)
	}
	if err := os.Rename(made, path); err != nil {
		return "", fmt.Errorf("%w: %w", ErrAbsent, err)
	}
	return path, nil
}
