package client

import (
	"context"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/plugins"
)

// reload implements host. It waits for nobody but the plugins it changes: what
// is asked for meanwhile starts with the version of before or after.
func (h *processes) reload(ctx context.Context) (changed []string, err error) {
	if h.pinned.Dir == "" {
		return nil, nil
	}
	next, err := h.pinned.Catalog()
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range next.Manifest.Plugins {
		if p.Kind != plugins.KindSource && p.Kind != plugins.KindKDF {
			continue
		}
		if _, ok := h.catalog.Manifest.Find(p.Kind, p.Name); !ok {
			continue // pinned since: for the next client
		}
		e := next.Entry(p.Kind, p.Name)
		if was := h.catalog.Entry(p.Kind, p.Name); was.Path == e.Path && was.Digest == e.Digest {
			continue // each pinning has a folder of its own
		}
		var config *core.Config
		if p.Kind == plugins.KindSource {
			values, err := h.pinned.Settings(p.Kind, p.Name)
			if err != nil {
				return changed, err
			}
			if len(values) > 0 {
				config = &core.Config{Values: values}
			}
		}
		if config != nil {
			e = readable(e, config.Values)
		}
		if err := h.sup.Reload(ctx, e, config); err != nil {
			return changed, err
		}
		changed = append(changed, p.Kind+" "+p.Name)
	}
	h.catalog = next
	return changed, nil
}
