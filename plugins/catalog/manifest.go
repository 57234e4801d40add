// Package catalog says on whose word plugins run: a manifest lists them with
// the SM3 of every file and is signed with SM2.
//
// Signed by the vendor key stamped into the binary it makes plugins approved
// (T/EMCG 001.3 clause 10.2.3: they are part of the module's image), signed by
// the operator's own key it makes them local. Any other signer is refused.
//
// The manifest is text, one item a line, in one possible form:
//
//	keposs-plugin-manifest 1
//	signer 02…                         33 bytes of SM2 point, hex
//	plugin source pin 1.0 bin/pin      kind, name, version, main file
//	file 66c7… 4194304 bin/pin         SM3, bytes, path; at least the main file
//	signature 9a…                      64 bytes r ‖ s over all lines above
//
// Plugins are sorted by kind and name, files by path; paths are relative to
// the manifest's folder, without "." and "..".
package catalog

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/plugins"
)

// KindCore is the kind of the program that hosts the built-in plugins.
const KindCore = "core"

// Bounds of a manifest, checked before anything is taken from it.
const (
	MaxManifest = 1 << 20
	maxPlugins  = 256
	maxFiles    = 4096
	maxPath     = 255
)

const (
	header = "keposs-plugin-manifest 1"
	signID = "keposs.plugin-manifest.1"
	op     = "catalog"
)

// A File is one measured file.
type File struct {
	Path string // relative to the manifest's folder, with slashes
	SM3  [32]byte
	Size int64
}

// A Plugin is one entry of a manifest.
type Plugin struct {
	Kind    string // source, sensor, kdf, backend or core
	Name    string
	Version string
	Main    string // the file that is executed
	Files   []File // sorted by path, Main among them
}

// A Manifest is a list of plugins and who signed it.
type Manifest struct {
	Signer  sm.PublicKey
	Plugins []Plugin // sorted by kind and name
}

// Find returns the plugin of a kind and name.
func (m *Manifest) Find(kind, name string) (Plugin, bool) {
	for _, p := range m.Plugins {
		if p.Kind == kind && p.Name == name {
			return p, true
		}
	}
	return Plugin{}, false
}

func word(s string, most int) bool {
	if s == "" || len(s) > most {
		return false
	}
	for _, r := range s {
		if r <= ' ' || r > '~' {
			return false
		}
	}
	return true
}

func validPath(p string) bool {
	return word(p, maxPath) && path.Clean(p) == p && p != "." && !path.IsAbs(p) && p != ".." && !strings.HasPrefix(p, "../") && !strings.ContainsAny(p, `\:`)
}

func (p Plugin) check() error {
	switch p.Kind {
	case plugins.KindSource, plugins.KindSensor, plugins.KindKDF, plugins.KindBackend, KindCore:
	default:
		return core.Errorf(core.Invalid, op, "%.16q is no kind of plugin", p.Kind)
	}
	if !word(p.Name, 32) || !word(p.Version, 64) {
		return core.Errorf(core.Invalid, op, "name %.32q and version %.64q must be single words", p.Name, p.Version)
	}
	main := false
	for i, f := range p.Files {
		if !validPath(f.Path) || f.Size < 0 {
			return core.Errorf(core.Invalid, op, "%s: %.64q is no path inside the folder", p.Name, f.Path)
		}
		if i > 0 && p.Files[i-1].Path >= f.Path {
			return core.Errorf(core.Invalid, op, "%s: files must be sorted and unique", p.Name)
		}
		main = main || f.Path == p.Main
	}
	if !main {
		return core.Errorf(core.Invalid, op, "%s: the main file %.64q is not among the files", p.Name, p.Main)
	}
	return nil
}

func (m *Manifest) check() error {
	files := 0
	for i, p := range m.Plugins {
		if err := p.check(); err != nil {
			return err
		}
		if i > 0 && compare(m.Plugins[i-1], p) >= 0 {
			return core.Errorf(core.Invalid, op, "plugins must be sorted and unique")
		}
		files += len(p.Files)
	}
	if len(m.Plugins) > maxPlugins || files > maxFiles {
		return core.Errorf(core.TooLarge, op, "%d plugins with %d files, at most %d and %d", len(m.Plugins), files, maxPlugins, maxFiles)
	}
	return nil
}

func compare(a, b Plugin) int {
	if c := strings.Compare(a.Kind, b.Kind); c != 0 {
		return c
	}
	return strings.Compare(a.Name, b.Name)
}

// body is everything the signature covers.
func (m *Manifest) body() []byte {
	var b bytes.Buffer
	point := m.Signer.Compressed()
	fmt.Fprintf(&b, "%s\nsigner %x\n", header, point[:])
	for _, p := range m.Plugins {
		fmt.Fprintf(&b, "plugin %s %s %s %s\n", p.Kind, p.Name, p.Version, p.Main)
		for _, f := range p.Files {
			fmt.Fprintf(&b, "file %x %d %s\n", f.SM3[:], f.Size, f.Path)
		}
	}
	return b.Bytes()
}

// Digest is the SM3 of what the signature covers: equal for two releases of the
// same files by the same vendor, whatever their signatures' nonces were.
func (m *Manifest) Digest() [32]byte { return sm.SM3(m.body()) }

// Sign sorts list and returns the manifest signed with key (lent).
func Sign(key *sm.PrivateKey, list []Plugin) ([]byte, error) {
	m := Manifest{Signer: key.Public(), Plugins: slices.Clone(list)}
	slices.SortFunc(m.Plugins, compare)
	if err := m.check(); err != nil {
		return nil, err
	}
	body := m.body()
	sig, err := key.Sign(sm.Rand(), body, []byte(signID))
	if err != nil {
		return nil, err
	}
	return append(body, "signature "+hex.EncodeToString(sig[:])+"\n"...), nil
}

// Parse reads a manifest and checks its signature under the signer it names;
// whether that signer counts is the caller's to say. Errors: TooLarge, Invalid,
// Integrity for a signature that does not hold.
func Parse(b []byte) (*Manifest, error) {
	if len(b) > MaxManifest {
		return nil, core.Errorf(core.TooLarge, op, "a manifest of %d bytes, at most %d", len(b), MaxManifest)
	}
	m := &Manifest{}
	lines := strings.Split(string(b), "\n")
	if len(lines) < 4 || lines[0] != header || lines[len(lines)-1] != "" {
		return nil, core.Errorf(core.Invalid, op, "not a manifest of version 1")
	}
	point, err := field(lines[1], "signer ", 33)
	if err == nil {
		m.Signer, err = sm.ParsePoint(point)
	}
	if err != nil {
		return nil, core.Errorf(core.Invalid, op, "the signer is no SM2 point")
	}
	last := lines[len(lines)-2]
	sig, err := field(last, "signature ", 64)
	if err != nil {
		return nil, core.Errorf(core.Invalid, op, "the last line is no signature")
	}
	for _, line := range lines[2 : len(lines)-2] {
		if err := m.line(line); err != nil {
			return nil, err
		}
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	body := m.body()
	if !bytes.Equal(append(body, "signature "+hex.EncodeToString(sig)+"\n"...), b) {
		return nil, core.Errorf(core.Invalid, op, "the manifest is not in its one form")
	}
	if !sm.Verify(m.Signer, body, []byte(signID), [64]byte(sig)) {
		return nil, core.Errorf(core.Integrity, op, "the manifest is not what was signed")
	}
	return m, nil
}

func (m *Manifest) line(line string) error {
	part := strings.Split(line, " ")
	switch {
	case len(part) == 5 && part[0] == "plugin" && len(m.Plugins) < maxPlugins:
		m.Plugins = append(m.Plugins, Plugin{Kind: part[1], Name: part[2], Version: part[3], Main: part[4]})
		return nil
	case len(part) == 4 && part[0] == "file" && len(m.Plugins) > 0:
		sum, err := field(part[1], "", 32)
		if err != nil {
			return err
		}
		size, err := strconv.ParseInt(part[2], 10, 64)
		if err != nil {
			return core.Errorf(core.Invalid, op, "a file's size is no number")
		}
		p := &m.Plugins[len(m.Plugins)-1]
		p.Files = append(p.Files, File{Path: part[3], SM3: [32]byte(sum), Size: size})
		return nil
	}
	return core.Errorf(core.Invalid, op, "a line of no known form: %.40q", line)
}

// field is the hex after prefix, of n bytes.
func field(s, prefix string, n int) ([]byte, error) {
	h, ok := strings.CutPrefix(s, prefix)
	b, err := hex.DecodeString(h)
	if !ok || err != nil || len(b) != n {
		return nil, core.Errorf(core.Invalid, op, "want %d bytes of hex", n)
	}
	return b, nil
}
