package server

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"time"

	hclog "github.com/hashicorp/go-hclog"

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
}

// releaseWait is how long the plugin process of a killed SS-CC may take to let
// the database go.
const releaseWait = 5 * time.Second

// openStore starts the backend's process and configures it. The caller closes
// the store. count, if set, hears of starts and ends of the process.
func (f Folder) openStore(ctx context.Context, c *Config, log *slog.Logger, verbose hclog.Level, count func(what string)) (*store, error) {
	if _, err := builtins.Backend(c.Backend.Name); err != nil {
		return nil, err
	}
	s := &store{plugins: plugins.NewSupervisor(plugins.Options{
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
	err := func() (err error) {
		if s.Backend, err = s.plugins.Backend(ctx, image.Entry(plugins.KindBackend, c.Backend.Name)); err != nil {
			return err
		}
		settings, err := f.settings(ctx, c, s.Backend)
		if err != nil {
			return err
		}
		defer func() {
			for _, b := range settings.Secrets {
				b.Wipe()
			}
		}()
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
	for name, v := range c.Backend.Settings {
		out.Values[name] = v
	}
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
