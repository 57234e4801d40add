package check

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/plugins"
)

// maxScript bounds the files taken with a script.
const maxScript = 64

// Executable is the program a person means by path: the file itself, or of a
// folder the one executable at its top. Errors: NotFound, and Usage for a
// folder with none or several.
func Executable(path string) (string, error) {
	const op = "plugin check"
	st, err := os.Stat(path)
	if err != nil {
		return "", core.Errorf(core.NotFound, op, "%s does not exist", path)
	}
	if !st.IsDir() {
		return path, nil
	}
	list, err := os.ReadDir(path)
	if err != nil {
		return "", core.Errorf(core.Usage, op, "%w", err)
	}
	var found []string
	for _, f := range list {
		if i, err := f.Info(); err == nil && i.Mode().IsRegular() && i.Mode().Perm()&0o111 != 0 {
			found = append(found, f.Name())
		}
	}
	if len(found) != 1 {
		return "", core.Errorf(core.Usage, op, "%s has %d executables at its top, want one; build it or name the file", path, len(found))
	}
	return filepath.Join(path, found[0]), nil
}

// Beside lists, relative to the folder of the script at path, the modules it
// may load from there: the files of its folder and below with the ending of
// its language, hidden folders and caches left out. A program that is no
// Python script has none. TooLarge above 64 files.
func Beside(path string) ([]string, error) {
	b := make([]byte, 128)
	f, err := os.Open(path)
	if err != nil {
		return nil, core.Errorf(core.NotFound, "plugin", "%w", err)
	}
	n, _ := f.Read(b)
	_ = f.Close()
	line, _, _ := strings.Cut(string(b[:n]), "\n")
	if !strings.HasPrefix(line, "#!") || !strings.Contains(line, "python") {
		return nil, nil
	}
	root, main := filepath.Split(path)
	if root == "" {
		root = "."
	}
	var out []string
	err = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		hidden := strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "__py")
		switch {
		case err != nil:
			return err
		case d.IsDir() && rel != "." && (hidden || strings.Count(rel, string(filepath.Separator)) > 3):
			return fs.SkipDir
		case !d.Type().IsRegular() || hidden || rel == main || filepath.Ext(rel) != ".py" || strings.HasSuffix(rel, "_test.py"):
			return nil
		}
		if out = append(out, filepath.ToSlash(rel)); len(out) > maxScript {
			return core.Errorf(core.TooLarge, "plugin", "more than %d modules beside %s; put the plugin in a folder of its own", maxScript, main)
		}
		return nil
	})
	return out, err
}

// entry is what a supervisor starts for t: one file, or a script with its
// modules, measured as they are now.
func (t Target) entry() (plugins.Entry, error) {
	e := plugins.File(t.Path, t.Kind, t.Name)
	e.Args, e.Env = t.Args, t.Env
	others, err := Beside(t.Path)
	if err != nil || len(others) == 0 {
		return e, err
	}
	abs, err := filepath.Abs(t.Path)
	if err != nil {
		return e, core.Errorf(core.Environment, "plugin check", "%w", err)
	}
	root, main := filepath.Split(abs)
	e.Path, e.Root, e.Files = abs, filepath.Clean(root), map[string][32]byte{}
	for _, rel := range append(others, main) {
		b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(rel)))
		if err != nil {
			return e, core.Errorf(core.NotFound, "plugin check", "%w", err)
		}
		e.Files[rel] = sm.SM3(b)
	}
	e.Digest = e.Files[main]
	return e, nil
}
