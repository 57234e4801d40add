package cli

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/client"
	"github.com/keposs/keposs/cmd/keposs/internal/builtins"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/plugins"
	"github.com/keposs/keposs/plugins/plugintest/check"
)

// pinned is the folder of the plugins this operator vouches for.
func (e *Env) pinned() (client.PinnedPlugins, error) {
	root, err := e.Root()
	return client.PinnedPlugins{Dir: filepath.Join(root, "plugins")}, err
}

// pinResult is what `keposs plugin pin --json` prints.
type pinResult struct {
	Kind    string   `json:"kind"`
	Name    string   `json:"name"`
	Version string   `json:"version"`
	Trust   string   `json:"trust"`
	Files   []string `json:"files"`
	Note    string   `json:"note,omitempty"`
}

func pluginPinCommand(e *Env) *cobra.Command {
	var config []string
	c := &cobra.Command{
		Use:   "pin PATH",
		Short: "Vouch for a plugin: copy it, measure it and sign it with your own key",
		Long: `Start a plugin once to learn what it is, copy its files into the data folder and
sign their SM3 with the operator's own key, made at first use. A Python script is
taken with the modules beside it; of a script that builds a program
(docs/plugin-guide.md) the program is taken, never the script. From then on a source may stand in policies, a
KDF in --kdf, and a sensor is used by --sensor; a changed copy is refused. Results
with it are never approved: only the vendor's signature does that.

A backend is named by keposs ss-cc init --backend.

Pin again after you changed the plugin: the new version takes the place of the old
at the next command; a running SS-CC is told by keposs plugin reload. Test it first with keposs plugin check.`,
		Example: `  keposs plugin pin ./my-camera
  keposs plugin pin examples/sensor-python --config folder=/srv/captures`,
		Args: exactly(1, "one PATH"),
		RunE: func(c *cobra.Command, args []string) error {
			const op = "plugin pin"
			values, err := parseConfig(op, "--config", config)
			if err != nil {
				return err
			}
			store, err := e.pinned()
			if err != nil {
				return err
			}
			req, err := e.identifyPlugin(c.Context(), op, args[0])
			if err != nil {
				return err
			}
			if slices.Contains(builtins.BackendNames(), req.Name) && req.Kind == plugins.KindBackend {
				return core.Errorf(core.Conflict, op, "backend %s is built in; give the plugin another name", req.Name)
			}
			req.Settings = values
			p, err := store.Pin(req)
			if err != nil {
				return err
			}
			out := pinResult{Kind: p.Kind, Name: p.Name, Version: p.Version, Trust: string(plugins.TrustLocal)}
			for _, f := range p.Files {
				out.Files = append(out.Files, f.Path)
			}
			if check.OnlyScript(filepath.Join(req.Root, req.Main)) {
				out.Note = "this is a script, and what it starts is not measured: pin the program itself, or name what the script builds (docs/plugin-guide.md)"
			}
			return e.Report(out, func(w io.Writer) {
				fmt.Fprintf(w, "pinned %s %s %s, %d files, trust local\n", out.Kind, out.Name, out.Version, len(out.Files))
				if out.Note != "" {
					fmt.Fprintf(w, "note: %s\n", out.Note)
				}
			})
		},
	}
	c.Flags().StringArrayVar(&config, "config", nil, "a setting it is always given, as `name=value`, or @FILE with one a line; may be repeated")
	return c
}

// identifyPlugin starts a program, or the one in a folder, once to learn what it
// is, and finds the files that belong to it.
func (e *Env) identifyPlugin(ctx context.Context, op, path string) (p client.PinRequest, err error) {
	if path, err = check.Program(ctx, path, e.Stderr); err != nil {
		return p, err
	}
	i, err := check.Identify(ctx, check.Target{Path: path})
	if err != nil {
		return p, advise(core.Errorf(core.Invalid, op, "%s does not say what it is: %w", path, err), "`keposs plugin check %s` tells what is wrong with it", path)
	}
	others, err := check.Beside(path)
	return client.PinRequest{Kind: i.Kind, Name: i.Name, Version: i.Version, Root: filepath.Dir(path), Main: filepath.Base(path), Others: others}, err
}

func pluginUnpinCommand(e *Env) *cobra.Command {
	return &cobra.Command{
		Use:     "unpin KIND NAME",
		Short:   "Vouch for a plugin no longer and remove its copy",
		Example: "  keposs plugin unpin sensor my-camera",
		Args:    exactly(2, "KIND and NAME"),
		RunE: func(_ *cobra.Command, args []string) error {
			store, err := e.pinned()
			if err != nil {
				return err
			}
			if err := store.Unpin(args[0], args[1]); err != nil {
				return err
			}
			return e.Report(map[string]string{"kind": args[0], "unpinned": args[1]}, func(w io.Writer) {
				fmt.Fprintf(w, "%s %s is pinned no longer\n", args[0], args[1])
			})
		},
	}
}
