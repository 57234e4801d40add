// Package image is a release of the module: one folder with the program, the
// vendor's plugins and a manifest of every file signed by the vendor's key,
// which is stamped into the program when it is built (T/EMCG 001.3 clauses 8.2,
// 10.2.3 and 11; docs/image.md).
//
// A program built otherwise has no stamp: it runs from no image, its trust is
// none and its results are not approved.
package image

import (
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/plugins"
	"github.com/keposs/keposs/plugins/catalog"
)

// Stamps of the linker: -X github.com/keposs/keposs/plugins/image.vendor=…
var (
	vendor = "" // 33 bytes of SM2 point in hex
	commit = "" // of the source, with "+" when files were changed
)

const op = "image"

// StampFlags are the linker's -X values for a release.
func StampFlags(key sm.PublicKey, revision string) []string {
	const pkg = "github.com/keposs/keposs/plugins/image."
	p := key.Compressed()
	return []string{"-X", pkg + "vendor=" + hex.EncodeToString(p[:]), "-X", pkg + "commit=" + revision}
}

// Commit is the source's revision as stamped, "" without a stamp.
func Commit() string { return commit }

// Vendor is the stamped key; ok is false for a program without one. A stamp
// that is no key is Integrity: the program was altered.
func Vendor() (key sm.PublicKey, ok bool, err error) {
	if vendor == "" {
		return key, false, nil
	}
	b, err := hex.DecodeString(vendor)
	if err == nil {
		key, err = sm.ParsePoint(b)
	}
	if err != nil {
		return key, false, core.Errorf(core.Integrity, op, "the vendor key stamped into this program is damaged")
	}
	return key, true, nil
}

// Open reads the manifest of the image in dir; it must be signed by key and
// name the program once. No file is measured yet.
func Open(dir string, key sm.PublicKey) (*catalog.Catalog, error) {
	if _, err := os.Lstat(filepath.Join(dir, catalog.ManifestName)); errors.Is(err, fs.ErrNotExist) {
		return nil, core.Errorf(core.Integrity, op, "%s has no %s: it is no image, or a part of one", dir, catalog.ManifestName)
	}
	c, err := catalog.Open(dir, catalog.Keys{Vendor: key})
	if err != nil {
		if code := core.CodeOf(err); code == core.Invalid || code == core.TooLarge {
			err = core.Errorf(core.Integrity, op, "%s is not what was signed: %w", catalog.ManifestName, err)
		}
		return nil, err
	}
	if _, err := program(c.Manifest); err != nil {
		return nil, err
	}
	return c, nil
}

// program is the manifest's entry of the program itself.
func program(m *catalog.Manifest) (catalog.File, error) {
	var found []catalog.File
	for _, p := range m.Plugins {
		if p.Kind == catalog.KindCore {
			found = append(found, p.Files...)
		}
	}
	if len(found) != 1 {
		return catalog.File{}, core.Errorf(core.Integrity, op, "the manifest names %d programs, want one", len(found))
	}
	return found[0], nil
}

// Verify measures every file of the image in dir. Integrity names the first
// that is not what was signed, is missing, or is there and not listed.
// req: K-8.2-01, K-11-01, K-17.6-L2, G-7.5-01, G-7.5-02
func Verify(dir string, key sm.PublicKey) (*catalog.Catalog, error) {
	c, err := Open(dir, key)
	if err != nil {
		return nil, err
	}
	for _, p := range c.Manifest.Plugins {
		if p.Kind != catalog.KindCore {
			continue
		}
		if err := p.Verify(dir); err != nil {
			return nil, core.Errorf(core.Integrity, op, "%w", err)
		}
	}
	if err := verifyRest(dir, c.Manifest); err != nil {
		return nil, err
	}
	return c, nil
}

// verifyRest is Verify but for the program's file, by far the largest.
func verifyRest(dir string, m *catalog.Manifest) error {
	if err := m.Verify(dir); err != nil {
		return core.Errorf(core.Integrity, op, "%w", err)
	}
	listed := map[string]bool{catalog.ManifestName: true}
	for _, p := range m.Plugins {
		for _, f := range p.Files {
			listed[f.Path] = true
		}
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err == nil && !listed[filepath.ToSlash(rel)] {
			err = core.Errorf(core.Integrity, op, "%s is in the folder and not in the manifest", rel)
		}
		return err
	})
	if err != nil {
		return core.Errorf(core.CodeOf(err), op, "%w", err)
	}
	return nil
}

// folder is where the running program's file lies.
func folder() (string, error) {
	exe, err := os.Executable()
	if err != nil {
		return "", core.Errorf(core.Environment, op, "find the running program: %w", err)
	}
	return filepath.Dir(strings.TrimSuffix(exe, " (deleted)")), nil
}

// own reads the manifest of the image this program should lie in.
func own(key sm.PublicKey) (dir string, c *catalog.Catalog, err error) {
	if dir, err = folder(); err != nil {
		return "", nil, err
	}
	c, err = Open(dir, key)
	return dir, c, err
}

// running is the image this program belongs to, opened once.
var running = sync.OnceValues(func() (*catalog.Catalog, error) {
	key, ok, err := Vendor()
	if err != nil || !ok {
		return nil, err
	}
	_, c, err := own(key)
	return c, err
})

// Running is the signed image this program belongs to; nil without a stamp.
// Integrity for a stamped program without its image. What it names has not
// been measured here: Tests does that, and every plugin is measured as it starts.
func Running() (*catalog.Catalog, error) { return running() }

// Entry is a built-in plugin with the trust of the running image.
func Entry(kind, name string) plugins.Entry {
	if c, err := running(); err == nil && c != nil {
		return c.Entry(kind, name)
	}
	return plugins.Builtin(kind, name)
}

// A Test is one integrity test of the self-test.
type Test struct {
	Name string
	Run  func() error
}

// Tests are the integrity tests of the running image, none without a stamp:
// the manifest's signature, the running program against the manifest, and
// every plugin's files. Each reads anew.
// req: K-16-03, K-6.1-05a, K-11-01, G-7.5-03
func Tests() []Test {
	key, ok, err := Vendor()
	if err != nil {
		return []Test{{"image-manifest", func() error { return err }}}
	}
	if !ok {
		return nil
	}
	return []Test{
		{"image-manifest", func() error { _, _, err := own(key); return err }},
		{"image-core", func() error {
			_, c, err := own(key)
			if err != nil {
				return err
			}
			want, err := program(c.Manifest)
			if err != nil {
				return err
			}
			got, err := plugins.SelfDigest()
			if err == nil && got != want.SM3 {
				err = core.Errorf(core.Integrity, op, "the running program is not %s of the manifest", want.Path)
			}
			return err
		}},
		{"image-files", func() error {
			dir, c, err := own(key)
			if err != nil {
				return err
			}
			return verifyRest(dir, c.Manifest)
		}},
	}
}
