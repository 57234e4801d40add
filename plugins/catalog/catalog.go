package catalog

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/plugins"
)

// ManifestName is the manifest's file name in its folder.
const ManifestName = "plugins.manifest"

// Keys are the signers that count. A zero key is none.
type Keys struct {
	Vendor sm.PublicKey // stamped into the binary: approved
	Local  sm.PublicKey // the operator's: local
}

func (k Keys) trust(signer sm.PublicKey) (plugins.Trust, bool) {
	switch {
	case !k.Vendor.IsZero() && signer == k.Vendor:
		return plugins.TrustApproved, true
	case !k.Local.IsZero() && signer == k.Local:
		return plugins.TrustLocal, true
	}
	return plugins.TrustNone, false
}

// Measure takes the SM3 of main and others, paths relative to root, as one plugin.
func Measure(root, kind, name, version, main string, others ...string) (Plugin, error) {
	p := Plugin{Kind: kind, Name: name, Version: version, Main: main}
	paths := append([]string{main}, others...)
	slices.Sort(paths)
	for _, rel := range slices.Compact(paths) {
		if !validPath(rel) {
			return Plugin{}, core.Errorf(core.Invalid, op, "%.64q is no path inside the folder", rel)
		}
		f, err := measure(root, rel)
		if err != nil {
			return Plugin{}, err
		}
		p.Files = append(p.Files, f)
	}
	return p, p.check()
}

func measure(root, rel string) (File, error) {
	r, err := os.OpenRoot(root) // no link leads out of it
	if err != nil {
		return File{}, core.Errorf(core.NotFound, op, "%w", err)
	}
	defer r.Close()
	f, err := r.Open(filepath.FromSlash(rel))
	if err != nil {
		return File{}, core.Errorf(core.NotFound, op, "%w", err)
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return File{}, core.Errorf(core.Invalid, op, "%s is no regular file", rel)
	}
	digest, n, err := sm.Measure(f)
	if err != nil {
		return File{}, core.Errorf(core.Unavailable, op, "read %s: %w", rel, err)
	}
	return File{Path: rel, SM3: digest, Size: n}, nil
}

// Verify measures every file of the plugin under root. Integrity names the
// first that differs.
func (p Plugin) Verify(root string) error {
	for _, want := range p.Files {
		got, err := measure(root, want.Path)
		if err != nil {
			return err
		}
		if got != want {
			return core.Errorf(core.Integrity, op, "%s of %s %s is not the file that was signed", want.Path, p.Kind, p.Name)
		}
	}
	return nil
}

// Verify measures every plugin of the manifest under root. Core entries are
// skipped, their file is the program's.
func (m *Manifest) Verify(root string) error {
	for _, p := range m.Plugins {
		if p.Kind == KindCore {
			continue
		}
		if err := p.Verify(root); err != nil {
			return err
		}
	}
	return nil
}

// A Catalog is a folder of plugins under a manifest whose signer counts.
type Catalog struct {
	Manifest *Manifest
	Trust    plugins.Trust
	root     string
}

// Open reads root's manifest. A folder without one is an empty catalog of
// trust none. Errors: Integrity for a signer that does not count, and Parse's.
func Open(root string, keys Keys) (*Catalog, error) {
	b, err := read(root)
	if errors.Is(err, fs.ErrNotExist) {
		return &Catalog{Manifest: &Manifest{}, Trust: plugins.TrustNone, root: root}, nil
	}
	if err != nil {
		return nil, core.Errorf(core.Unavailable, op, "%w", err)
	}
	m, err := Parse(b)
	if err != nil {
		return nil, err
	}
	t, ok := keys.trust(m.Signer)
	if !ok {
		return nil, core.Errorf(core.Integrity, op, "%s is signed by a key that counts for nothing here; pin the plugins with keposs plugin pin", filepath.Join(root, ManifestName))
	}
	return &Catalog{Manifest: m, Trust: t, root: root}, nil
}

func read(root string) ([]byte, error) {
	f, err := os.Open(filepath.Join(root, ManifestName))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, MaxManifest+1))
}

// Entry returns what a supervisor starts for a kind and name: the manifest's
// plugin, or, for a name it does not list, the one built into this program,
// with the manifest's trust if it lists the program itself.
func (c *Catalog) Entry(kind, name string) plugins.Entry {
	p, ok := c.Manifest.Find(kind, name)
	if !ok {
		e := plugins.Builtin(kind, name)
		for _, p := range c.Manifest.Plugins {
			if p.Kind == KindCore && len(p.Files) == 1 {
				e.Digest, e.Trust = p.Files[0].SM3, c.Trust
			}
		}
		return e
	}
	e := plugins.Entry{Kind: kind, Name: name, Path: filepath.Join(c.root, filepath.FromSlash(p.Main)), Trust: c.Trust}
	for _, f := range p.Files {
		if f.Path == p.Main {
			e.Digest = f.SM3
		}
	}
	if len(p.Files) > 1 {
		e.Root, e.Files = c.root, map[string][32]byte{}
		for _, f := range p.Files {
			e.Files[f.Path] = f.SM3
		}
	}
	return e
}

// Pin adds p to root's manifest, in place of one of the same kind and name,
// and signs it anew with the operator's key (lent). Entries signed by another
// key are refused with Integrity: whoever pins vouches for the whole list.
func Pin(root string, key *sm.PrivateKey, p Plugin) error {
	c, err := Open(root, Keys{Local: key.Public()})
	if err != nil {
		return err
	}
	list := slices.DeleteFunc(slices.Clone(c.Manifest.Plugins), func(o Plugin) bool { return o.Kind == p.Kind && o.Name == p.Name })
	return Write(root, key, append(list, p))
}

// Unpin takes a plugin out of root's manifest. NotFound if it is not there.
func Unpin(root string, key *sm.PrivateKey, kind, name string) error {
	c, err := Open(root, Keys{Local: key.Public()})
	if err != nil {
		return err
	}
	if _, ok := c.Manifest.Find(kind, name); !ok {
		return core.Errorf(core.NotFound, op, "no %.16s %.32q is pinned", kind, name)
	}
	list := slices.DeleteFunc(slices.Clone(c.Manifest.Plugins), func(o Plugin) bool { return o.Kind == kind && o.Name == name })
	return Write(root, key, list)
}

// Write signs list and puts it in place at once: a reader sees the old or the
// new manifest.
func Write(root string, key *sm.PrivateKey, list []Plugin) (err error) {
	b, err := Sign(key, list)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(root, "."+ManifestName+"-*")
	if err != nil {
		return core.Errorf(core.Unavailable, op, "%w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return core.Errorf(core.Unavailable, op, "write the manifest: %w", err)
	}
	if err = os.Rename(f.Name(), filepath.Join(root, ManifestName)); err != nil {
		return core.Errorf(core.Unavailable, op, "%w", err)
	}
	return nil
}

// MeasureSelf is the entry of the running program, which makes its built-ins
// count as the manifest's signer says.
func MeasureSelf(version string) (Plugin, error) {
	exe, err := os.Executable()
	if err != nil {
		return Plugin{}, core.Errorf(core.Environment, op, "%w", err)
	}
	return Measure(filepath.Dir(exe), KindCore, "keposs", version, filepath.Base(exe))
}
