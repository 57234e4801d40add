package client

import (
	"context"
	"sync"

	"github.com/keposs/keposs/client/builtin"
	"github.com/keposs/keposs/core"
)

// DefaultKDF is the slow KDF of a new policy.
const DefaultKDF = "pbkdf2sm3"

// PluginEvent is one change in a plugin process's life, for diagnosis. It holds
// no secret.
type PluginEvent struct {
	Kind, Name string
	What       string // "started", "reloaded", "crashed", "start failed", "circuit open", "closed"
	PID        int
	Err        error // of a failed start or a crash
}

// A host gives MST-CC its sources and KDFs, each started once and kept.
type host interface {
	// source and kdf return the one of a name and whether its image is approved.
	source(ctx context.Context, name string) (core.Source, bool, error)
	kdf(ctx context.Context, name string) (core.KDF, bool, error)
	// reload takes over the versions that are pinned now and names them.
	reload(ctx context.Context) ([]string, error)
	// close ends what was started and waits for it.
	close() error
}

// inProcess serves the built-in sources and KDFs compiled into this program.
// They are part of its image; without a signed manifest of that image none is
// approved.
type inProcess struct {
	mu       sync.Mutex
	approved bool // the program is part of a signed image
	sources  map[string]core.Source
	kdfs     map[string]core.KDF
}

func newInProcess(approved bool) *inProcess {
	return &inProcess{approved: approved, sources: map[string]core.Source{}, kdfs: map[string]core.KDF{}}
}

func (h *inProcess) source(_ context.Context, name string) (core.Source, bool, error) {
	s, err := kept(&h.mu, h.sources, name, builtin.Source)
	return s, h.approved && err == nil, err
}

func (h *inProcess) kdf(_ context.Context, name string) (core.KDF, bool, error) {
	k, err := kept(&h.mu, h.kdfs, name, builtin.KDF)
	return k, h.approved && err == nil, err
}

func (h *inProcess) reload(context.Context) ([]string, error) { return nil, nil }

func (h *inProcess) close() error { return nil }

// kept returns the value of name, making it at first use.
func kept[T any](mu *sync.Mutex, have map[string]T, name string, make func(string) (T, error)) (T, error) {
	mu.Lock()
	defer mu.Unlock()
	if v, ok := have[name]; ok {
		return v, nil
	}
	v, err := make(name)
	if err == nil {
		have[name] = v
	}
	return v, err
}

var _ host = (*inProcess)(nil)
