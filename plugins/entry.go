package plugins

import (
	"maps"
	"slices"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/plugins/internal/launch"
)

// Trust says on whose word a plugin's image runs.
type Trust string

// Trust states.
const (
	TrustNone     Trust = "none"     // nobody's: built-ins of the running binary
	TrustLocal    Trust = "local"    // the operator's, by a manifest of their own key
	TrustApproved Trust = "approved" // the vendor's, whose key is stamped into this binary
)

// An Entry names one plugin and says where its image comes from.
type Entry struct {
	Kind string
	Name string // as the plugin describes itself; "" accepts any, for files only

	Path   string   // executable; "" = built into the running program
	Digest [32]byte // SM3 the executable must have; zero = any
	Trust  Trust
	Args   []string // arguments after argv[0]
	Env    []string // "key=value" beyond the allow-list; never a secret

	// Read names files and folders a confined plugin may read (Options.Confine):
	// those its settings name.
	Read []string

	// A plugin of several files names their folder and the SM3 of each, by
	// path in it. They run from a private copy made at each start and are
	// never approved: an interpreter opens them by name.
	Root  string
	Files map[string][32]byte
}

// Builtin is a plugin the running program itself serves through MainIfPlugin.
func Builtin(kind, name string) Entry { return Entry{Kind: kind, Name: name, Trust: TrustNone} }

// File is an executable nobody vouches for. A supervisor starts it only with
// Options.Unpinned; plugins/catalog makes entries with a digest and a trust.
func File(path, kind, name string) Entry {
	return Entry{Kind: kind, Name: name, Path: path, Trust: TrustNone}
}

// check refuses entries that no start could make good.
func (e Entry) check(o Options) error {
	const op = "plugins"
	switch e.Kind {
	case KindSource, KindSensor, KindKDF, KindBackend:
	default:
		return core.Errorf(core.Usage, op, "a plugin is a source, sensor, kdf or backend, not %.16q", e.Kind)
	}
	if len(e.Name) > 32 || e.Path == "" && e.Name == "" {
		return core.Errorf(core.Usage, op, "a plugin's name has 1 to 32 bytes")
	}
	if e.Path != "" && e.Trust != TrustLocal && e.Trust != TrustApproved && !o.Unpinned {
		return core.Errorf(core.Integrity, op, "%s is not pinned: nobody vouches for it; pin it with keposs plugin pin", e.Path)
	}
	if e.Path != "" && e.Trust != TrustNone && e.Digest == ([32]byte{}) {
		return core.Errorf(core.Usage, op, "%s claims trust without a digest", e.Path)
	}
	return nil
}

// equal reports whether both start the same program in the same way.
func (e Entry) equal(a Entry) bool {
	return a.Kind == e.Kind && a.Name == e.Name && a.Path == e.Path && a.Digest == e.Digest && a.Trust == e.Trust &&
		a.Root == e.Root && maps.Equal(a.Files, e.Files) && slices.Equal(a.Args, e.Args) && slices.Equal(a.Env, e.Env)
}

// image takes or shares the entry's executable.
func (e Entry) image() (*launch.Image, error) {
	if e.Path == "" {
		i, err := launch.Self()
		if err == nil && e.Digest != ([32]byte{}) && e.Digest != i.Digest {
			return nil, &StartError{Reason: Digest, Plugin: e.label(), Detail: "the running program"}
		}
		return i, err
	}
	if len(e.Files) > 0 {
		return launch.LoadFolder(e.Root, e.Path, e.label(), e.Digest, e.Files)
	}
	return launch.Load(e.Path, e.label(), e.Digest)
}

func (e Entry) label() string {
	if e.Name == "" {
		return e.Kind
	}
	return e.Name
}
