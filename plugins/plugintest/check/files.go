package check

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/plugins"
)

// maxScript bounds the files taken with a script.
const maxScript = 64

// Executable is the program a person means by path: the file itself, or of a
// folder the one executable at its top. Errors: NotFound, and Usage for a
// folder with none or several, or what is neither file nor folder.
func Executable(path string) (string, error) {
	const op = "plugin check"
	st, err := os.Stat(path)
	if err != nil {
		return "", core.Errorf(core.NotFound, op, "%s does not exist", path)
	}
	if st.Mode().IsRegular() {
		return path, nil
	}
	if !st.IsDir() {
		return "", core.Errorf(core.Usage, op, "%s is no regular file and no folder", path)
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

// builds is the second line of a script that builds the plugin it stands for.
const builds = "# keposs-program: "

// Program is Executable, and for a script that builds its plugin the program it
// has built. Such a script names that program in its second line,
//
//	# keposs-program: build/keystroke
//
// by its path from the script's folder, below which it must lie. It is run there
// without arguments and with this process's environment, at every call: it
// decides itself whether something is to be done. What it says goes to say.
//
// What is executed, measured and pinned afterwards is the program, never the
// script. Errors: those of Executable; Usage for a script that names no file
// below it, Environment when it fails or leaves no program there.
func Program(ctx context.Context, path string, say io.Writer) (string, error) {
	const op = "plugin check"
	path, err := Executable(path)
	if err != nil {
		return "", err
	}
	rel, err := built(path)
	if err != nil || rel == "" {
		return path, err
	}
	if rel = filepath.FromSlash(rel); !filepath.IsLocal(rel) {
		return "", core.Errorf(core.Usage, op, "%s builds %.60q, want a path below its own folder", path, rel)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", core.Errorf(core.Environment, op, "%w", err)
	}
	cmd := exec.CommandContext(ctx, abs)
	cmd.Dir, cmd.Stdout, cmd.Stderr = filepath.Dir(abs), say, say
	cmd.WaitDelay = time.Second // a child may hold the pipes
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", core.Errorf(core.Canceled, op, "%w", ctx.Err())
		}
		return "", core.Errorf(core.Environment, op, "%s did not build %s: %w; mend what it said above, or run it by hand", path, rel, err)
	}
	program := filepath.Join(filepath.Dir(path), rel)
	if st, err := os.Lstat(program); err != nil || !st.Mode().IsRegular() || st.Mode().Perm()&0o111 == 0 {
		return "", core.Errorf(core.Environment, op, "%s ended well and left no program at %s; correct the path in its second line", path, rel)
	}
	if again, err := built(program); err != nil || again != "" {
		return "", core.Errorf(core.Usage, op, "%s builds %s, which is a script that builds another; want a program", path, rel)
	}
	return program, nil
}

// built is what the script at path names as the program it builds, "" if path
// is anything else.
func built(path string) (string, error) {
	head, err := head(path)
	if err != nil {
		return "", err
	}
	first, rest, _ := strings.Cut(head, "\n")
	second, _, whole := strings.Cut(rest, "\n")
	rel, ok := strings.CutPrefix(second, builds)
	if !ok || !whole || !strings.HasPrefix(first, "#!") {
		return "", nil
	}
	return strings.TrimSpace(rel), nil
}

// head is the beginning of a file, 512 bytes at most.
func head(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", core.Errorf(core.NotFound, "plugin check", "%w", err)
	}
	defer f.Close()
	b := make([]byte, 512)
	n, err := io.ReadFull(f, b)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", core.Errorf(core.Environment, "plugin check", "%w", err)
	}
	return string(b[:n]), nil
}

// firstLine is the first line of the file at path, as far as 512 bytes hold it.
func firstLine(path string) (string, error) {
	begin, err := head(path)
	line, _, _ := strings.Cut(begin, "\n")
	return line, err
}

func isPython(line string) bool {
	return strings.HasPrefix(line, "#!") && strings.Contains(line, "python")
}

// OnlyScript reports whether path is a script whose other files nobody knows,
// since it is in no language that Beside can read: its digest is not one of what
// it will run.
func OnlyScript(path string) bool {
	line, err := firstLine(path)
	return err == nil && strings.HasPrefix(line, "#!") && !isPython(line)
}

// Beside lists, relative to the folder of the script at path, the modules it
// may load from there: the files of its folder and below with the ending of
// its language, hidden folders and caches left out. A program that is no
// Python script has none. TooLarge above 64 files.
func Beside(path string) ([]string, error) {
	line, err := firstLine(path)
	if err != nil {
		return nil, err
	}
	if !isPython(line) {
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
