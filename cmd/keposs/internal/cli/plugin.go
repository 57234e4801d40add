package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/cmd/keposs/internal/builtins"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/plugins"
)

func pluginCommands(e *Env) []*cobra.Command {
	list := &cobra.Command{
		Use:   "list",
		Short: "Start every plugin once and show its kind, name, version and trust",
		Long: `Start every plugin once and show its kind, name, version and trust. The built-in
ones are this very program, executed again from a sealed copy: approved in a
signed image (keposs image build), else nobody's, with trust none and results not
approved. Pinned ones are yours (keposs plugin pin): their trust is local.`,
		Example: `  keposs plugin list
  keposs plugin list --json`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			out, err := startAll(c.Context(), e)
			if err != nil {
				return err
			}
			return e.Verdict(out.OK, out, out.print)
		},
	}
	return []*cobra.Command{group("plugin", "Write, test and look at plugins", "  keposs plugin list\n  keposs plugin check ./my-plugin", list, pluginNewCommand(e), pluginCheckCommand(e), pluginPinCommand(e), pluginUnpinCommand(e), pluginReloadCommand(e), pluginDoctorCommand(e), pluginDebugCommand(e))}
}

// pluginList is what `keposs plugin list --json` prints.
type pluginList struct {
	OK      bool         `json:"ok"` // every plugin started
	Plugins []pluginLine `json:"plugins"`
}

type pluginLine struct {
	Kind     string `json:"kind"`
	Name     string `json:"name"`
	Version  string `json:"version"`
	Trust    string `json:"trust"`
	Approved bool   `json:"approved"`
	SM3      string `json:"sm3"`
	Error    string `json:"error,omitempty"`
}

// startAll starts each built-in and each pinned plugin and asks what it is.
func startAll(ctx context.Context, e *Env) (out pluginList, err error) {
	store, err := e.pinned()
	if err != nil {
		return out, err
	}
	pinned, err := store.Catalog()
	if err != nil {
		return out, err
	}
	entries := builtins.Entries()
	for _, p := range pinned.Manifest.Plugins {
		entries = append(entries, pinned.Entry(p.Kind, p.Name))
	}
	sup := plugins.NewSupervisor(plugins.Options{})
	defer func() { err = errors.Join(err, sup.Close()) }()
	var all []any
	for _, entry := range entries {
		v, err := open(ctx, sup, entry)
		if err != nil {
			return out, err
		}
		all = append(all, v)
	}
	_ = sup.Warm(ctx, all...) // each one's own error is in its line
	if ctx.Err() != nil {
		return out, core.Errorf(core.Canceled, "plugin list", "%w", ctx.Err())
	}
	out.OK = true
	for _, i := range sup.List() {
		l := pluginLine{Kind: i.Kind, Name: i.Name, Version: i.Version, Trust: string(i.Trust), Approved: i.Approved, SM3: fmt.Sprintf("%x", i.Digest)}
		if i.Err != nil {
			l.Error, out.OK = i.Err.Error(), false
		}
		out.Plugins = append(out.Plugins, l)
	}
	return out, nil
}

// open asks sup for an entry of any kind.
func open(ctx context.Context, sup *plugins.Supervisor, e plugins.Entry) (any, error) {
	switch e.Kind {
	case plugins.KindSource:
		return sup.Source(ctx, e)
	case plugins.KindSensor:
		return sup.Sensor(ctx, e)
	case plugins.KindKDF:
		return sup.KDF(ctx, e)
	default:
		return sup.Backend(ctx, e)
	}
}

func (o pluginList) print(w io.Writer) {
	fmt.Fprintf(w, "%-8s %-14s %-10s %-9s %s\n", "KIND", "NAME", "VERSION", "TRUST", "IMAGE (SM3)")
	for _, l := range o.Plugins {
		fmt.Fprintf(w, "%-8s %-14s %-10s %-9s %.16s…\n", l.Kind, l.Name, l.Version, l.Trust, l.SM3)
		if l.Error != "" {
			fmt.Fprintf(w, "%-8s did not start: %s\n", "", l.Error)
		}
	}
}
