// Package scaffold writes the folder a new plugin begins with: a program that
// builds, runs and passes its conformance test, with a README, a Makefile and a
// file for CI.
package scaffold

import (
	"bytes"
	"embed"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/keposs/keposs/core"
	_ "github.com/keposs/keposs/plugins" // registers the messages of the protocol
)

//go:embed all:templates
var templates embed.FS

const op = "plugin new"

// A Plan is what to write.
type Plan struct {
	Kind    string // ppd, sensor, kdf or escrow
	Name    string // [a-z][a-z0-9-]{0,31}
	Lang    string // go or python
	Replace string // folder of keposs's own sources for go.mod; "" = the published module
}

// A File is one file of the folder.
type File struct {
	Path string // with slashes
	Mode fs.FileMode
	Text []byte
}

var validName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// words say what each kind is.
var words = map[string]struct{ what, goFile, next, flags string }{
	"ppd":    {"PPD source", "source.go", "Then see docs/plugin-guide.md of keposs for how a policy names it.", ""},
	"sensor": {"sensor", "sensor.go", "Then `keposs init --sensor {{.}} --sensor-config folder=DIR` and `keposs sign`\nwith the same flags take their samples from it.", " --config folder=captures"},
	"kdf":    {"key derivation", "kdf.go", "Its cost is yours to defend: `keposs lab kdf` measures both sides.", ""},
	"escrow": {"storage backend", "store.go", "See docs/plugin-protocol.md, section 6, for what SS-CC relies on.", " --config path={dir}/log"},
}

// data is what the templates see.
type data struct {
	Plan
	What, Where, Next, CheckFlags, GoVersion string
	Requires                                 []string
	Descriptors                              string
}

// Render returns the files of p. Errors: Usage for a kind, language or name
// that is none, Unsupported for a pair that has no template, NotFound for a
// Replace that is not the module's folder.
func Render(p Plan) ([]File, error) {
	w, ok := words[p.Kind]
	if !ok {
		return nil, core.Errorf(core.Usage, op, "%.16q is no kind, want ppd, sensor, kdf or escrow", p.Kind)
	}
	if !validName.MatchString(p.Name) {
		return nil, core.Errorf(core.Usage, op, "%.40q is no name: want a small letter, then up to 31 of a-z, 0-9 and -", p.Name)
	}
	d := data{Plan: p, What: w.what, CheckFlags: w.flags, Next: strings.ReplaceAll(w.next, "{{.}}", p.Name)}
	var sum []byte
	var err error
	switch p.Lang {
	case "go":
		d.Where = "`" + w.goFile + "` is yours to change."
		if sum, err = d.module(); err != nil {
			return nil, err
		}
	case "python":
		d.Where = "change it as you like."
		if d.Descriptors, err = descriptors(); err != nil {
			return nil, err
		}
	default:
		return nil, core.Errorf(core.Usage, op, "--lang %.16q, want go or python", p.Lang)
	}
	var out []File
	for _, dir := range []string{"common", p.Kind} {
		list, err := fs.ReadDir(templates, path.Join("templates", p.Lang, dir))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, core.Errorf(core.Unsupported, op, "there is no %s template in %s; write it from docs/plugin-protocol.md", p.Kind, p.Lang)
		}
		if err != nil {
			return nil, core.Errorf(core.Internal, op, "%w", err)
		}
		for _, e := range list {
			f, err := render(path.Join("templates", p.Lang, dir, e.Name()), d)
			if err != nil {
				return nil, core.Errorf(core.Internal, op, "%w", err)
			}
			out = append(out, f)
		}
	}
	if p.Kind == "sensor" {
		out = append(out, File{"captures/1.f32", 0o644, capture()})
	}
	if sum != nil {
		out = append(out, File{"go.sum", 0o644, sum})
	}
	return out, nil
}

// places are the files that do not stand under their template's name.
var places = map[string]string{"gitignore": ".gitignore", "ci.yml": ".github/workflows/ci.yml"}

func render(name string, d data) (File, error) {
	text, err := templates.ReadFile(name)
	if err != nil {
		return File{}, err
	}
	t, err := template.New(name).Parse(string(text))
	if err != nil {
		return File{}, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, d); err != nil {
		return File{}, err
	}
	f := File{Path: strings.TrimSuffix(path.Base(name), ".tmpl"), Mode: 0o644, Text: b.Bytes()}
	if to, moved := places[f.Path]; moved {
		f.Path = to
	}
	if f.Path == "main.py" { // the one executable, under the plugin's own name
		f.Path, f.Mode = d.Name, 0o755
	}
	return f, nil
}

// module fills what go.mod needs and returns the go.sum: with Replace both come
// from the sources, so that nothing has to be fetched that they do not use.
func (d *data) module() ([]byte, error) {
	d.GoVersion = "1.26.0"
	if d.Replace == "" {
		return nil, nil
	}
	abs, err := filepath.Abs(d.Replace)
	if err != nil {
		return nil, core.Errorf(core.Usage, op, "%w", err)
	}
	mod, err := os.ReadFile(filepath.Join(abs, "go.mod"))
	if err != nil || !bytes.HasPrefix(mod, []byte("module github.com/keposs/keposs\n")) {
		return nil, core.Errorf(core.NotFound, op, "--replace %s is not the folder of keposs's go.mod", d.Replace)
	}
	if strings.ContainsAny(abs, " \t\"'`") {
		return nil, core.Errorf(core.Usage, op, "--replace %q: a go.mod takes no blanks or quotes here", abs)
	}
	d.Replace = abs
	inside := false
	for line := range strings.Lines(string(mod)) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), " //")
		switch {
		case strings.HasPrefix(line, "go "):
			d.GoVersion = strings.TrimPrefix(line, "go ")
		case line == "require (":
			inside = true
		case line == ")":
			inside = false
		case inside && line != "":
			d.Requires = append(d.Requires, line)
		}
	}
	sum, err := os.ReadFile(filepath.Join(abs, "go.sum"))
	if err != nil {
		return nil, core.Errorf(core.NotFound, op, "%w", err)
	}
	return sum, nil
}

// descriptors are the files of the protocol, one a line, as base64 of their
// FileDescriptorProto, each after those it imports.
func descriptors() (string, error) {
	var lines []string
	for _, name := range []string{"types", "control", "sensor", "source", "kdf", "backend"} {
		f, err := protoregistry.GlobalFiles.FindFileByPath("keposs/plugin/v1/" + name + ".proto")
		if err != nil {
			return "", core.Errorf(core.Internal, op, "%w", err)
		}
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(protodesc.ToFileDescriptorProto(f))
		if err != nil {
			return "", core.Errorf(core.Internal, op, "%w", err)
		}
		lines = append(lines, base64.StdEncoding.EncodeToString(b))
	}
	return strings.Join(lines, "\n"), nil
}

// capture is a made-up face embedding, 128 float32, for the first check.
func capture() []byte {
	b := make([]byte, 0, 4*128)
	for i := range 128 {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32((i*37)%64-31)/16))
	}
	return b
}

// Write puts the files of p into dir, which must not exist yet, and returns
// their paths. Conflict if it does.
func Write(dir string, p Plan) ([]string, error) {
	files, err := Render(p)
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil, core.Errorf(core.Conflict, op, "%s is there already; nothing was written", dir)
		}
		return nil, core.Errorf(core.Usage, op, "%w", err)
	}
	var paths []string
	for _, f := range files {
		to := filepath.Join(dir, filepath.FromSlash(f.Path))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return paths, core.Errorf(core.Exhausted, op, "%w", err)
		}
		if err := os.WriteFile(to, f.Text, f.Mode); err != nil {
			return paths, core.Errorf(core.Exhausted, op, "%w", err)
		}
		paths = append(paths, f.Path)
	}
	return paths, nil
}
