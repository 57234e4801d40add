// Package release builds a signed image of the module from its source.
package release

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/plugins/catalog"
	"github.com/keposs/keposs/plugins/image"
)

const op = "image build"

// Options of Build.
type Options struct {
	Key     *sm.PrivateKey // the vendor's; lent
	Source  string         // folder of the module that is built
	Package string         // main package; "" = DefaultPackage
	Name    string         // of the program; "" = keposs
	Version string         // a single word; "" = devel
	Out     string         // a folder that is not there yet or empty
	Plugins []Plugin       // of the vendor, besides the built-in ones
	Log     io.Writer      // what the compiler says
}

// A Plugin is one program the vendor ships beside the built-in ones.
type Plugin struct {
	Kind, Name, Version string
	Root, Main          string // Main relative to Root
	Others              []string
}

// DefaultPackage is keposs itself; a product names its own main.
const DefaultPackage = "github.com/keposs/keposs/cmd/keposs"

// Build compiles the program with the vendor's key stamped into it, copies the
// plugins, measures everything and signs the manifest. Equal sources, options
// and compiler give an equal program and an equal manifest digest.
// req: K-11-02, K-17.6-L2, G-7.11-05, G-7.5-05
func Build(ctx context.Context, o Options) (*catalog.Catalog, error) {
	if o.Package == "" {
		o.Package = DefaultPackage
	}
	if o.Name == "" {
		o.Name = "keposs"
	}
	if o.Version == "" {
		o.Version = "devel"
	}
	if err := os.MkdirAll(o.Out, 0o755); err != nil {
		return nil, core.Errorf(core.Usage, op, "%w", err)
	}
	if list, err := os.ReadDir(o.Out); err != nil || len(list) > 0 {
		return nil, core.Errorf(core.Usage, op, "%s is not an empty folder: name another", o.Out)
	}
	out, err := filepath.Abs(o.Out)
	if err != nil {
		return nil, core.Errorf(core.Usage, op, "%w", err)
	}
	if err := compile(ctx, o, filepath.Join(out, o.Name)); err != nil {
		return nil, err
	}
	var list []catalog.Plugin
	p, err := catalog.Measure(out, catalog.KindCore, "keposs", o.Version, o.Name)
	if err != nil {
		return nil, err
	}
	list = append(list, p)
	for _, v := range o.Plugins {
		p, err := take(out, v)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	if err := catalog.Write(out, o.Key, list); err != nil {
		return nil, err
	}
	if err := os.Chmod(filepath.Join(out, catalog.ManifestName), 0o644); err != nil {
		return nil, core.Errorf(core.Unavailable, op, "%w", err)
	}
	return image.Verify(out, o.Key.Public())
}

// compile builds without paths, build id, symbols or debug information, at an
// address the loader picks.
func compile(ctx context.Context, o Options, to string) error {
	flags := append([]string{"-s", "-w", "-buildid="}, image.StampFlags(o.Key.Public(), revision(ctx, o.Source))...)
	flags = append(flags, "-X", "github.com/keposs/keposs/cmd/keposs/internal/cli.Version="+o.Version)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-buildmode=pie", "-ldflags="+strings.Join(flags, " "), "-o", to, o.Package)
	cmd.Dir = o.Source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOTOOLCHAIN=local", "GOEXPERIMENT="+os.Getenv("GOEXPERIMENT"))
	cmd.Stdout, cmd.Stderr = o.Log, o.Log
	if err := cmd.Run(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return core.Errorf(core.Environment, op, "the go command is not installed: an image is built from source")
		}
		return core.Errorf(core.Environment, op, "go build %s in %s: %w", o.Package, o.Source, err)
	}
	return nil
}

// revision is the commit of the source, with "+" when files differ from it;
// "unknown" outside version control.
func revision(ctx context.Context, dir string) string {
	git := func(args ...string) (string, error) {
		out, err := exec.CommandContext(ctx, "git", append([]string{"-C", dir}, args...)...).Output()
		return strings.TrimSpace(string(out)), err
	}
	head, err := git("rev-parse", "HEAD")
	if err != nil {
		return "unknown"
	}
	if changed, err := git("status", "--porcelain", "--untracked-files=no"); err != nil || changed != "" {
		head += "+"
	}
	return head
}

// take copies one plugin's files into the image and measures the copies.
func take(out string, v Plugin) (catalog.Plugin, error) {
	sub := "plugins/" + v.Kind + "-" + v.Name
	place := func(rel string) string { return sub + "/" + filepath.ToSlash(rel) }
	var others []string
	for _, rel := range append([]string{v.Main}, v.Others...) {
		if err := copyFile(v.Root, rel, filepath.Join(out, filepath.FromSlash(place(rel)))); err != nil {
			return catalog.Plugin{}, err
		}
		if rel != v.Main {
			others = append(others, place(rel))
		}
	}
	return catalog.Measure(out, v.Kind, v.Name, v.Version, place(v.Main), others...)
}

func copyFile(root, rel, to string) (err error) {
	in, err := os.Open(filepath.Join(root, rel))
	if err != nil {
		return core.Errorf(core.NotFound, op, "%w", err)
	}
	defer in.Close()
	st, err := in.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = errors.New(rel + " is no regular file")
	}
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o755)
	}
	if err != nil {
		return core.Errorf(core.Invalid, op, "%w", err)
	}
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, st.Mode().Perm()&0o755|0o444)
	if err != nil {
		return core.Errorf(core.Unavailable, op, "%w", err)
	}
	_, err = io.Copy(f, in)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return core.Errorf(core.Unavailable, op, "%w", err)
	}
	return nil
}
