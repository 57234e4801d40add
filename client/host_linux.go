package client

import (
	"context"
	"errors"
	"path/filepath"
	"sync"

	"github.com/keposs/keposs/client/builtin"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/plugins"
	"github.com/keposs/keposs/plugins/catalog"
	"github.com/keposs/keposs/plugins/image"
)

// processes serves the built-in sources and KDFs as plugin processes: this very
// program executed again from a sealed copy of its image (plugins.MainIfPlugin).
type processes struct {
	sup     *plugins.Supervisor
	mu      sync.Mutex
	sources map[string]core.Source
	kdfs    map[string]core.KDF
	pinned  PinnedPlugins
	signed  *catalog.Catalog // the vendor's, of the running image; empty without one
	catalog *catalog.Catalog // what the operator vouched for; empty without Options.Pinned
}

// openHost picks how sources and KDFs run here.
func openHost(o Options) (host, error) {
	// A stamped program that lies beside no image of its own is found out by the
	// self-test; until then nothing here counts as signed.
	signed, err := image.Running()
	if err != nil || signed == nil {
		signed = &catalog.Catalog{Manifest: &catalog.Manifest{}, Trust: plugins.TrustNone}
	}
	if o.InProcess {
		return newInProcess(signed.Trust == plugins.TrustApproved), nil
	}
	var events func(plugins.Event)
	if o.Plugins != nil {
		events = func(e plugins.Event) { o.Plugins(PluginEvent(e)) }
	}
	h := &processes{
		sup:     plugins.NewSupervisor(plugins.Options{Events: events, Confine: o.agent}),
		sources: map[string]core.Source{}, kdfs: map[string]core.KDF{},
		signed:  signed,
		catalog: &catalog.Catalog{Manifest: &catalog.Manifest{}},
	}
	if o.Pinned != "" {
		h.pinned = PinnedPlugins{Dir: o.Pinned}
		if h.catalog, err = h.pinned.Catalog(); err != nil {
			return nil, errors.Join(err, h.close())
		}
	}
	// Nothing outside this program's own list and the pinned ones is ever started.
	var all []plugins.Entry
	for _, c := range []*catalog.Catalog{h.signed, h.catalog} {
		for _, p := range c.Manifest.Plugins {
			if p.Kind != catalog.KindCore {
				all = append(all, c.Entry(p.Kind, p.Name))
			}
		}
	}
	for _, name := range builtin.SourceNames() {
		all = append(all, h.signed.Entry(plugins.KindSource, name))
	}
	for _, name := range builtin.KDFNames() {
		all = append(all, h.signed.Entry(plugins.KindKDF, name))
	}
	h.sup.Seal(all...)
	return h, nil
}

func (h *processes) source(ctx context.Context, name string) (core.Source, bool, error) {
	return started(ctx, h, h.sources, name, func() (core.Source, error) {
		if _, ok := h.signed.Manifest.Find(plugins.KindSource, name); ok {
			return h.sup.Source(ctx, h.signed.Entry(plugins.KindSource, name))
		}
		if _, ok := h.catalog.Manifest.Find(plugins.KindSource, name); ok {
			return h.pinnedSource(ctx, name)
		}
		if _, err := builtin.Source(name); err != nil {
			return nil, err // before a process is started for nothing
		}
		return h.sup.Source(ctx, h.signed.Entry(plugins.KindSource, name))
	})
}

func (h *processes) kdf(ctx context.Context, name string) (core.KDF, bool, error) {
	return started(ctx, h, h.kdfs, name, func() (core.KDF, error) {
		if _, ok := h.signed.Manifest.Find(plugins.KindKDF, name); ok {
			return h.sup.KDF(ctx, h.signed.Entry(plugins.KindKDF, name))
		}
		if _, ok := h.catalog.Manifest.Find(plugins.KindKDF, name); ok {
			return h.sup.KDF(ctx, h.catalog.Entry(plugins.KindKDF, name))
		}
		if _, err := builtin.KDF(name); err != nil {
			return nil, err
		}
		return h.sup.KDF(ctx, h.signed.Entry(plugins.KindKDF, name))
	})
}

// pinnedSource starts a source the operator vouched for, with its settings.
func (h *processes) pinnedSource(ctx context.Context, name string) (core.Source, error) {
	values, err := h.pinned.Settings(plugins.KindSource, name)
	if err != nil {
		return nil, err
	}
	s, err := h.sup.Source(ctx, readable(h.catalog.Entry(plugins.KindSource, name), values))
	if err == nil && len(values) > 0 {
		err = s.Configure(ctx, core.Config{Values: values})
	}
	return s, err
}

// readable lets a confined source read the files its settings name: the operator
// gave both.
func readable(e plugins.Entry, settings map[string]string) plugins.Entry {
	for _, v := range settings {
		if filepath.IsAbs(v) {
			e.Read = append(e.Read, v)
		}
	}
	return e
}

// close ends every process and returns when all are reaped.
func (h *processes) close() error { return h.sup.Close() }

// started returns the value of name with its process running. Approved is what
// the supervisor says of that process, so it is asked each time: a plugin that
// was started again may run from another image.
func started[T any](ctx context.Context, h *processes, have map[string]T, name string, make func() (T, error)) (v T, approved bool, err error) {
	h.mu.Lock()
	v, ok := have[name]
	if !ok {
		if v, err = make(); err == nil {
			have[name] = v
		}
	}
	h.mu.Unlock()
	if err != nil {
		return v, false, err
	}
	if err := h.sup.Warm(ctx, v); err != nil {
		return v, false, err
	}
	info, ok := plugins.InfoOf(v)
	return v, ok && info.Approved, nil
}

var _ host = (*processes)(nil)

// signedImage says that this program runs from the vendor's image; its
// self-test says whether that is still so.
func signedImage() bool {
	c, err := image.Running()
	return err == nil && c != nil
}

// imageTests are the integrity tests of the signed image this program belongs
// to; none for a program that is no release.
func imageTests() (out []mstcc.SelfTestCase) {
	for _, t := range image.Tests() {
		out = append(out, mstcc.SelfTestCase{Name: t.Name, Run: func(context.Context) error { return t.Run() }})
	}
	return out
}
