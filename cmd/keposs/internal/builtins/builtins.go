// Package builtins is everything this binary can be as a plugin process: the
// explicit list main re-executes itself from, and what `keposs plugin list`
// shows.
package builtins

import (
	"github.com/keposs/keposs/client/builtin"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/badger"
	"github.com/keposs/keposs/escrow/etcd"
	"github.com/keposs/keposs/escrow/memory"
	"github.com/keposs/keposs/escrow/postgres"
	"github.com/keposs/keposs/internal/control"
	"github.com/keposs/keposs/plugins"
	"github.com/keposs/keposs/plugins/image"
)

var backends = []struct {
	name string
	make func() core.Backend
}{
	{"badger", func() core.Backend { return badger.New() }},
	{"memory", func() core.Backend { return memory.New() }},
	{"postgres", func() core.Backend { return postgres.New() }},
	{"etcd", func() core.Backend { return etcd.New() }},
}

// BackendNames lists the built-in storage backends, the default first.
func BackendNames() []string {
	out := make([]string, len(backends))
	for i, b := range backends {
		out[i] = b.name
	}
	return out
}

// Backend returns a new built-in backend; NotFound names the ones there are.
func Backend(name string) (core.Backend, error) {
	for _, b := range backends {
		if b.name == name {
			return b.make(), nil
		}
	}
	return nil, core.Errorf(core.NotFound, "keposs", "no storage %.32q: built in are %v", name, BackendNames())
}

// Registry is what plugins.MainIfPlugin looks in.
func Registry() plugins.Registry {
	return plugins.Registry{Source: builtin.Source, KDF: builtin.KDF, Backend: served}
}

// served is every backend this program can be as a process: the built-in ones
// and the laboratory's controls, which nothing lists.
func served(name string) (core.Backend, error) {
	if b := control.Backend(name); b != nil {
		return b, nil
	}
	return Backend(name)
}

// Entries lists every built-in plugin, by kind.
func Entries() []plugins.Entry {
	var out []plugins.Entry
	for _, k := range []struct {
		kind  string
		names []string
	}{
		{plugins.KindSource, builtin.SourceNames()},
		{plugins.KindKDF, builtin.KDFNames()},
		{plugins.KindBackend, BackendNames()},
	} {
		for _, name := range k.names {
			out = append(out, image.Entry(k.kind, name))
		}
	}
	return out
}
