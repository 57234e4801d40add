// Package builtin is the explicit list of what keposs brings along for a
// terminal: PPD sources and slow KDFs. Nothing registers itself; a product with
// sources of its own makes its own list.
package builtin

import (
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/kdf"
	"github.com/keposs/keposs/ppd/face"
	"github.com/keposs/keposs/ppd/fingerprint"
	"github.com/keposs/keposs/ppd/gesture"
	"github.com/keposs/keposs/ppd/pin"
)

var sources = []struct {
	name string
	make func() (core.Source, error)
}{
	{"pin", func() (core.Source, error) { return pin.New(), nil }},
	{"gesture", func() (core.Source, error) { return gesture.New(), nil }},
	{"fingerprint", func() (core.Source, error) { return fingerprint.New(nil) }},
	{"face", func() (core.Source, error) { return face.New(nil) }},
}

// SourceNames lists the built-in sources.
func SourceNames() []string {
	out := make([]string, len(sources))
	for i, s := range sources {
		out[i] = s.name
	}
	return out
}

// Source returns a new built-in source; NotFound names the ones there are.
func Source(name string) (core.Source, error) {
	for _, s := range sources {
		if s.name == name {
			return s.make()
		}
	}
	return nil, core.Errorf(core.NotFound, "client", "no source %.32q: built in are %v", name, SourceNames())
}

// KDFNames lists the built-in slow KDFs, the default first.
func KDFNames() []string { return kdf.Names() }

// KDF returns a new built-in slow KDF; NotFound names the ones there are.
func KDF(name string) (core.KDF, error) { return kdf.Builtin(name) }
