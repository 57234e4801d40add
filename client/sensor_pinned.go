package client

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/keposs/keposs/client/builtin"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/plugins"
	"github.com/keposs/keposs/plugins/catalog"
)

// PinnedPlugins is a folder of plugins the operator vouches for: copies of
// their files, a manifest signed with the operator's own key, that key and the
// plugins' settings. What runs from it is in the trust state local and never
// approved. The key protects against a changed copy, not against who may write
// the folder: it has mode 0700.
type PinnedPlugins struct{ Dir string }

const (
	pinKeyName   = "operator"
	settingsFile = "settings.json"
	maxSettings  = 1 << 16 // bytes
)

// PinRequest says what to take.
type PinRequest struct {
	Kind, Name, Version string   // as the plugin describes itself
	Root                string   // folder of its files
	Main                string   // the program, below Root
	Others              []string // further files, below Root
	Settings            map[string]string
}

func (p PinnedPlugins) key(make bool) (*sm.PrivateKey, error) {
	store, err := mstcc.NewFileKeyStore(filepath.Join(p.Dir, "key"))
	if err != nil {
		return nil, err
	}
	ctx := context.Background() // a file of this machine: nothing to wait for
	d, err := store.Load(ctx, pinKeyName)
	if err == nil {
		defer d.Wipe()
		return sm.NewPrivateKey(d.Bytes())
	}
	if !make || !errors.Is(err, core.NotFound) {
		return nil, err
	}
	k, err := sm.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	if err := sm.PairTest(k); err != nil {
		k.Wipe()
		return nil, err
	}
	s := k.Scalar()
	defer s.Wipe()
	if err := store.Store(ctx, pinKeyName, s); err != nil {
		k.Wipe()
		return nil, err
	}
	return k, nil
}

// Pin copies a plugin's files and vouches for them, in place of a pinned one
// of the same kind and name. Conflict for the name of a built-in one.
func (p PinnedPlugins) Pin(r PinRequest) (catalog.Plugin, error) {
	const op = "plugin pin"
	var none catalog.Plugin
	if r.Kind == plugins.KindSource && slices.Contains(builtin.SourceNames(), r.Name) || r.Kind == plugins.KindKDF && slices.Contains(builtin.KDFNames(), r.Name) {
		return none, core.Errorf(core.Conflict, op, "%s %s is built in; give the plugin another name", r.Kind, r.Name)
	}
	from, err := catalog.Measure(r.Root, r.Kind, r.Name, r.Version, r.Main, r.Others...)
	if err != nil {
		return none, err
	}
	if err := os.MkdirAll(p.Dir, 0o700); err != nil {
		return none, core.Errorf(core.Unavailable, op, "%w", err)
	}
	key, err := p.key(true)
	if err != nil {
		return none, err
	}
	defer key.Wipe()
	var unique [8]byte
	if _, err := sm.Rand().Read(unique[:]); err != nil {
		return none, err
	}
	sub := "files/" + hex.EncodeToString(unique[:])
	if err := copyFiles(r.Root, filepath.Join(p.Dir, filepath.FromSlash(sub)), from); err != nil {
		return none, err
	}
	under := func(list []string) (out []string) {
		for _, f := range list {
			out = append(out, sub+"/"+f)
		}
		return out
	}
	to, err := catalog.Measure(p.Dir, r.Kind, r.Name, r.Version, sub+"/"+r.Main, under(r.Others)...)
	if err != nil {
		return none, err
	}
	for i, f := range to.Files { // what was measured first is what was copied
		if f.SM3 != from.Files[i].SM3 {
			return none, core.Errorf(core.Integrity, op, "%s changed while it was copied", from.Files[i].Path)
		}
	}
	if err := p.set(r.Kind, r.Name, r.Settings); err != nil {
		return none, err
	}
	if err := catalog.Pin(p.Dir, key, to); err != nil {
		return none, err
	}
	return to, p.sweep()
}

// Unpin takes a plugin's files, settings and place in the manifest away.
func (p PinnedPlugins) Unpin(kind, name string) error {
	key, err := p.key(false)
	if err != nil {
		return core.Errorf(core.NotFound, "plugin unpin", "no %.16s %.32q is pinned", kind, name)
	}
	defer key.Wipe()
	if err := catalog.Unpin(p.Dir, key, kind, name); err != nil {
		return err
	}
	return errors.Join(p.set(kind, name, nil), p.sweep())
}

// Catalog opens what is pinned; a folder that is not there is an empty one.
func (p PinnedPlugins) Catalog() (*catalog.Catalog, error) {
	if _, err := os.Stat(filepath.Join(p.Dir, catalog.ManifestName)); errors.Is(err, fs.ErrNotExist) {
		return &catalog.Catalog{Manifest: &catalog.Manifest{}, Trust: plugins.TrustNone}, nil
	}
	key, err := p.key(false)
	if err != nil {
		return nil, err
	}
	defer key.Wipe()
	return catalog.Open(p.Dir, catalog.Keys{Local: key.Public()})
}

// copyFiles copies the measured files of root into a new folder.
func copyFiles(root, dir string, p catalog.Plugin) error {
	const op = "plugin pin"
	in, err := os.OpenRoot(root) // no link leads out of it
	if err != nil {
		return core.Errorf(core.NotFound, op, "%w", err)
	}
	defer in.Close()
	for _, f := range p.Files {
		to := filepath.Join(dir, filepath.FromSlash(f.Path))
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return core.Errorf(core.Unavailable, op, "%w", err)
		}
		r, err := in.Open(filepath.FromSlash(f.Path))
		if err != nil {
			return core.Errorf(core.NotFound, op, "%w", err)
		}
		w, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o700)
		if err == nil {
			_, err = io.Copy(w, io.LimitReader(r, f.Size+1))
			err = errors.Join(err, w.Sync(), w.Close())
		}
		_ = r.Close()
		if err != nil {
			return core.Errorf(core.Exhausted, op, "copy %s: %w", f.Path, err)
		}
	}
	return nil
}

// sweep removes copies that no pinned plugin uses.
func (p PinnedPlugins) sweep() error {
	c, err := p.Catalog()
	if err != nil {
		return err
	}
	used := map[string]bool{}
	for _, e := range c.Manifest.Plugins {
		if part := strings.Split(e.Main, "/"); len(part) > 2 {
			used[part[1]] = true
		}
	}
	list, err := os.ReadDir(filepath.Join(p.Dir, "files"))
	if err != nil {
		return core.Errorf(core.Unavailable, "plugin pin", "%w", err)
	}
	var errs []error
	for _, d := range list {
		if !used[d.Name()] {
			errs = append(errs, os.RemoveAll(filepath.Join(p.Dir, "files", d.Name())))
		}
	}
	return errors.Join(errs...)
}

// all reads the settings of every plugin, by "kind name".
func (p PinnedPlugins) all() (map[string]map[string]string, error) {
	f, err := os.Open(filepath.Join(p.Dir, settingsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]map[string]string{}, nil
	}
	if err != nil {
		return nil, core.Errorf(core.Unavailable, "plugin", "%w", err)
	}
	defer f.Close()
	out := map[string]map[string]string{}
	if err := json.NewDecoder(io.LimitReader(f, maxSettings)).Decode(&out); err != nil {
		return nil, core.Errorf(core.Corrupt, "plugin", "%s: %w", settingsFile, err)
	}
	return out, nil
}

// Settings are the values a plugin was pinned with; nil if none.
func (p PinnedPlugins) Settings(kind, name string) (map[string]string, error) {
	all, err := p.all()
	return all[kind+" "+name], err
}

// set replaces the settings of one plugin; nil removes them.
func (p PinnedPlugins) set(kind, name string, values map[string]string) error {
	all, err := p.all()
	if err != nil {
		return err
	}
	delete(all, kind+" "+name)
	if len(values) > 0 {
		all[kind+" "+name] = values
	}
	b, err := json.MarshalIndent(all, "", "  ")
	if err != nil || len(b) > maxSettings {
		return core.Errorf(core.TooLarge, "plugin", "settings of %d bytes, at most %d", len(b), maxSettings)
	}
	name = filepath.Join(p.Dir, settingsFile)
	if err := os.WriteFile(name+".new", b, 0o600); err != nil {
		return core.Errorf(core.Exhausted, "plugin", "%w", err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		return core.Errorf(core.Exhausted, "plugin", "%w", err)
	}
	return nil
}
