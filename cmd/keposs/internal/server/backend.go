package server

import (
	"bytes"
	"context"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"time"

	hclog "github.com/hashicorp/go-hclog"

	"github.com/keposs/keposs/client"
	"github.com/keposs/keposs/cmd/keposs/internal/builtins"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/plugins"
	"github.com/keposs/keposs/plugins/image"
)

// homes names the setting that says where a backend's files lie, and what Serve
// fills in where the operator did not.
var homes = map[string]struct{ setting, file string }{
	"badger": {"dir", databaseDir},
	"memory": {"path", databaseDir + "/log"},
}

// A store is the configured backend in its plugin process.
type store struct {
	core.Backend
	plugins *plugins.Supervisor
	folder  Folder
	entry   plugins.Entry // as it runs
}

// releaseWait is how long the plugin process of a killed SS-CC may take to let
// the database go.
const releaseWait = 5 * time.Second

// openStore starts the backend's process and configures it. The caller closes
// the store. count, if set, hears of starts and ends of the process.
func (f Folder) openStore(ctx context.Context, c *Config, log *slog.Logger, verbose hclog.Level, count func(what string)) (*store, error) {
	entry, err := f.entry(c.Backend.Name)
	if err != nil {
		return nil, err
	}
	s := &store{folder: f, entry: entry, plugins: plugins.NewSupervisor(plugins.Options{
		Logger: hclog.New(&hclog.LoggerOptions{Name: "plugin", Level: verbose, Output: os.Stderr, JSONFormat: true}),
		Events: func(e plugins.Event) {
			if count != nil {
				count(e.What)
			}
			if e.Err != nil {
				log.Warn("plugin", "kind", e.Kind, "name", e.Name, "what", e.What, "pid", e.PID, "error", e.Err.Error())
			} else {
				log.Debug("plugin", "kind", e.Kind, "name", e.Name, "what", e.What, "pid", e.PID)
			}
		},
	})}
	s.plugins.Seal(entry) // nothing else is ever started
	err = func() (err error) {
		if s.Backend, err = s.plugins.Backend(ctx, entry); err != nil {
			return err
		}
		settings, err := f.settings(ctx, c, s.Backend)
		if err != nil {
			return err
		}
		defer wipe(settings)
		for deadline := time.Now().Add(releaseWait); ; {
			err = s.Configure(ctx, settings)
			if core.CodeOf(err) != core.Unavailable || time.Now().After(deadline) {
				return err
			}
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
				return err
			}
		}
	}()
	if err != nil {
		_ = s.plugins.Close()
		return nil, err
	}
	return s, nil
}

// settings turns the configuration into what the backend's schema asks for.
func (f Folder) settings(ctx context.Context, c *Config, b core.Backend) (core.Config, error) {
	const op = "ss-cc: backend settings"
	info, err := b.Describe(ctx)
	if err != nil {
		return core.Config{}, err
	}
	out := core.Config{Values: map[string]string{}, Secrets: map[string]*secret.Buffer{}}
	pinned, err := f.Pinned().Settings(plugins.KindBackend, c.Backend.Name)
	if err != nil {
		return core.Config{}, err
	}
	maps.Copy(out.Values, pinned)
	maps.Copy(out.Values, c.Backend.Settings)
	for _, field := range info.Schema {
		from, ok := out.Values[field.Name+"_file"]
		if field.Type != "secret" || !ok {
			continue
		}
		delete(out.Values, field.Name+"_file")
		content, err := os.ReadFile(from)
		if err != nil {
			return core.Config{}, core.Errorf(core.Usage, op, "%s_file: %w", field.Name, err)
		}
		out.Secrets[field.Name] = secret.Copy(bytes.TrimRight(content, "\r\n"))
		secret.Zero(content)
	}
	if home, ok := homes[c.Backend.Name]; ok && out.Values[home.setting] == "" {
		out.Values[home.setting] = f.path(home.file)
	}
	return out, nil
}

func wipe(c core.Config) {
	for _, b := range c.Secrets {
		b.Wipe()
	}
}

// Pinned are the plugins the operator vouched for; they lie beside this folder.
func (f Folder) Pinned() client.PinnedPlugins {
	return client.PinnedPlugins{Dir: filepath.Join(filepath.Dir(string(f)), "plugins")}
}

// entry is what is started for a backend's name: the built-in one or the pinned
// one. NotFound names both kinds.
func (f Folder) entry(name string) (plugins.Entry, error) {
	if _, err := builtins.Backend(name); err == nil {
		return image.Entry(plugins.KindBackend, name), nil
	}
	c, err := f.Pinned().Catalog()
	if err != nil {
		return plugins.Entry{}, err
	}
	if _, ok := c.Manifest.Find(plugins.KindBackend, name); ok {
		return c.Entry(plugins.KindBackend, name), nil
	}
	pinned := []string{}
	for _, p := range c.Manifest.Plugins {
		if p.Kind == plugins.KindBackend {
			pinned = append(pinned, p.Name)
		}
	}
	return plugins.Entry{}, core.Errorf(core.NotFound, "ss-cc", "no storage %.32q: built in are %v, pinned are %v; keposs plugin pin takes another", name, builtins.BackendNames(), pinned)
}

// reloadLimit bounds a reload, in which calls of the database wait.
const reloadLimit = 20 * time.Second

// reload takes over the version of the backend's plugin that is pinned now,
// with its settings. A built-in backend changes with the program only.
func (s *store) reload(ctx context.Context, c *Config) error {
	if s.entry.Trust != plugins.TrustLocal {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, reloadLimit)
	defer cancel()
	next, err := s.folder.entry(s.entry.Name)
	if err != nil {
		return err
	}
	settings, err := s.folder.settings(ctx, c, s.Backend)
	if err != nil {
		return err
	}
	defer wipe(settings)
	if next.Path == s.entry.Path && next.Digest == s.entry.Digest {
		return nil // each pinning has a folder of its own
	}
	if err := s.plugins.Reload(ctx, next, &settings); err != nil {
		return err
	}
	s.entry = next
	return nil
}

// version is what the backend's plugin says of itself.
func (s *store) version() string {
	i, _ := plugins.InfoOf(s.Backend)
	return i.Version
}

// pid is the backend's process now; 0 while none runs.
func (s *store) pid() int {
	i, _ := plugins.InfoOf(s.Backend)
	return i.PID
}

// Close closes the database, then its process.
func (s *store) Close() error {
	err := s.Backend.Close()
	_ = s.plugins.Close()
	return err
}
