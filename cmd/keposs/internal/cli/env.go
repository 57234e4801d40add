// Package cli holds the commands of keposs, one file per group of verbs.
//
// A command reads what it needs from an [Env], does its work through client/,
// escrow/api and plugins/, and reports through the Env: one JSON object on
// standard output with --json, else lines for a person. What went wrong goes
// to standard error as what, why, what to do; the exit status is one per
// family of core.Code (exit.go, docs/cli.md).
//
// Secrets never stand in arguments or the environment: passwords and PPD come
// from a prompt or from an inherited descriptor.
package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/keposs/keposs/core"
)

// Env is what a command sees of the world.
type Env struct {
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	Getenv func(string) string

	dir  string // --dir
	json bool   // --json
	said bool   // something is on standard output: a result that is an error too is one object, not two
}

// NewEnv is the process's own world.
func NewEnv() *Env {
	return &Env{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv}
}

// JSON reports whether --json was given.
func (e *Env) JSON() bool { return e.json }

// Root is the data folder: --dir, or keposs below XDG_DATA_HOME.
func (e *Env) Root() (string, error) {
	dir := e.dir
	if dir == "" {
		base := e.Getenv("XDG_DATA_HOME")
		if !filepath.IsAbs(base) { // the XDG rule: a relative path is ignored
			home := e.Getenv("HOME")
			if home == "" {
				return "", advise(core.Errorf(core.Usage, "data folder", "neither HOME nor XDG_DATA_HOME is set"), "name a folder with --dir")
			}
			base = filepath.Join(home, ".local", "share")
		}
		dir = filepath.Join(base, "keposs")
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", core.Errorf(core.Usage, "data folder", "%q: %w", dir, err)
	}
	return abs, nil
}

// Layout names the folders below the data folder.
type Layout struct {
	Root     string
	Server   string // SS-CC: configuration, sealed root key, certificate, database
	Admin    string // the administrator's session
	Terminal string // the app's MST-CC: binding, key store, trust record
}

// Layout returns the folders of this run.
func (e *Env) Layout() (Layout, error) {
	root, err := e.Root()
	if err != nil {
		return Layout{}, err
	}
	return layoutOf(root), nil
}

func layoutOf(root string) Layout {
	return Layout{
		Root:     root,
		Server:   filepath.Join(root, "ss-cc"),
		Admin:    filepath.Join(root, "admin"),
		Terminal: filepath.Join(root, "terminal"),
	}
}

// Report prints the one result of a command: v with --json, else what human
// writes.
func (e *Env) Report(v any, human func(w io.Writer)) error {
	if e.json {
		enc := json.NewEncoder(e.Stdout)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(v); err != nil {
			return core.Errorf(core.Internal, "output", "%w", err)
		}
		return nil
	}
	human(e.Stdout)
	return nil
}

// Verdict is Report of a result that may be no: unless ok, the command ends with
// exit status 1.
func (e *Env) Verdict(ok bool, v any, human func(w io.Writer)) error {
	if err := e.Report(v, human); err != nil || ok {
		return err
	}
	return errNo
}

// Note tells a person how things go; it never mixes with a command's result.
func (e *Env) Note(format string, args ...any) {
	fmt.Fprintf(e.Stderr, format+"\n", args...)
}

// jsonError is the object --json prints when a command fails.
type jsonError struct {
	Error struct {
		Code    string `json:"code"`
		Op      string `json:"op"`
		Message string `json:"message"`
		Advice  string `json:"advice,omitempty"`
	} `json:"error"`
}

// fail reports err: what and why, then what to do. With --json standard output
// gets the same as one object, unless the command already printed its own.
func (e *Env) fail(err error) {
	advice := adviceFor(err)
	text := err.Error()
	if !strings.HasPrefix(text, "keposs") {
		text = "keposs: " + text
	}
	fmt.Fprintln(e.Stderr, text)
	if advice != "" {
		if !strings.HasSuffix(advice, "?") {
			advice += "."
		}
		fmt.Fprintf(e.Stderr, "What to do: %s\n", advice)
	}
	if !e.json || e.said {
		return
	}
	var o jsonError
	o.Error.Code = core.CodeOf(err).String()
	o.Error.Op = opOf(err)
	o.Error.Message = messageOf(err)
	o.Error.Advice = adviceFor(err)
	_ = e.Report(o, nil)
}
