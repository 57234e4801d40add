// Package probes checks the environment a module runs in: debuggers, injected
// code, roots, loose file modes, captured terminals, turned-back clocks
// (requirement part 13, P-01 to P-16).
//
// A probe reads an injectable view of the system and says ok, bad, unknown or
// not applicable, with a short code; it never tells what exactly it saw, which
// would teach how to hide it. What only a phone can see is asked of the host.
// A check from inside stops accidents and common tools, not an owner of the
// machine: docs/probes.md.
package probes

import (
	"context"
	"io/fs"
	"time"

	"github.com/keposs/keposs/core"
)

// Verdict is what a probe says.
type Verdict string

// Verdicts.
const (
	OK            Verdict = "ok"
	Bad           Verdict = "bad"
	Unknown       Verdict = "unknown"        // it could not be told
	NotApplicable Verdict = "not applicable" // no such thing on this kind of system
)

// known is v, or Unknown for a word that is no verdict: what a host says in
// words of its own must not pass.
func (v Verdict) known() Verdict {
	switch v {
	case OK, Bad, Unknown, NotApplicable:
		return v
	}
	return Unknown
}

// Class groups probes.
type Class string

// Classes.
const (
	Debug     Class = "debug"
	Root      Class = "root"
	Integrity Class = "integrity"
	UI        Class = "ui"
	Device    Class = "device"
)

// A Finding is one probe's result.
type Finding struct {
	ID        string  `json:"id"`
	Name      string  `json:"name"`
	Class     Class   `json:"class"`
	Verdict   Verdict `json:"verdict"`
	Code      string  `json:"code,omitempty"` // of the family of reasons, never evidence
	Mandatory bool    `json:"mandatory"`
}

// Fails reports whether the finding blocks: bad, or where it must be known, unknown.
func (f Finding) Fails(strict bool) bool {
	return f.Mandatory && (f.Verdict == Bad || strict && f.Verdict == Unknown)
}

// Host answers for what this process cannot see by itself: a phone's own
// verdicts, which its app fetches. Each is asked by the probe's ID; ok is false
// when the host has no answer.
type Host func(ctx context.Context, id string) (v Verdict, ok bool)

// Sys is the view of the system; System() is the real one, tests make their own.
type Sys interface {
	// Files is the file tree from the root: "proc/self/status", "system/bin/su".
	Files() fs.FS
	// Property is an Android system property.
	Property(name string) (string, bool)
	// Getenv is the process's environment.
	Getenv(name string) string
	// Hardened reports whether core files and foreign reading of memory are off.
	Hardened() (bool, error)
	// Text compares the mapped code with the program's file.
	Text() (same bool, err error)
	// Executable is the path of the program's file; Stat what its owner and mode are.
	Executable() (string, error)
	Owner(path string) (uid uint32, mode fs.FileMode, err error)
	UID() uint32
	// Terminal describes the terminal a person types at.
	Terminal() Terminal
	// Clocks are the wall clock and the time since boot, sleep included.
	Clocks() (wall time.Time, boot time.Duration, err error)
}

// Terminal is what P-12 looks at.
type Terminal struct {
	Is         bool // standard input is a terminal
	Foreground bool // its foreground process group is ours
	Others     bool // another process, not of our session, has it open
}

// Options of Run.
type Options struct {
	Level  uint32            // security level 1 or 2
	Quick  bool              // leave out P-09 and P-10, which read whole files
	Dirs   []string          // folders of the module that only its user may change
	Image  func() error      // measures program and plugins; nil = no signed image
	Host   Host              // nil = nobody to ask
	Clock  *Clock            // remembers the clocks between runs; nil = not watched
	Forces map[string]string // "mandatory" or "advisory" by ID, at level 1 only
}

// A probe is one row of the table.
type probe struct {
	id, name  string
	class     Class
	mandatory uint32 // from this level on; 0 = advisory at every level
	check     func(ctx context.Context, s Sys, o Options) (Verdict, string)
}

func (p probe) slow() bool { return p.id == "P-09" || p.id == "P-10" }

// list is requirement part 13. A probe of level 2 is advisory at level 1.
var list = []probe{
	{"P-01", "debugger", Debug, 1, traced},
	{"P-02", "core files and memory", Debug, 2, hardened},
	{"P-03", "injected code", Debug, 1, injected},
	{"P-04", "root tools", Root, 1, rootTools},
	{"P-05", "boot state", Root, 1, bootState},
	{"P-06", "mandatory access control", Root, 2, selinux},
	{"P-07", "writable system or module files", Root, 2, writable},
	{"P-08", "emulator", Device, 0, emulator},
	{"P-09", "program and plugins", Integrity, 1, image},
	{"P-10", "code in memory", Integrity, 2, text},
	{"P-11", "kernel", Root, 0, kernel},
	{"P-12", "terminal", UI, 1, terminal},
	{"P-13", "platform verdict", Root, 2, asked("P-13")},
	{"P-14", "attestation", Device, 0, asked("P-14")},
	{"P-15", "program's owner and mode", Integrity, 1, owner},
	{"P-16", "clock", Device, 1, clock},
}

// IDs lists the probes Run runs, in order.
func IDs(quick bool) (out []string) {
	for _, p := range list {
		if !quick || !p.slow() {
			out = append(out, p.id)
		}
	}
	return out
}

// Run runs every probe in order. It reads and reports only.
// req: K-5.3-05, K-6.1-05b, K-16-04, K-12.1-L2b
func Run(ctx context.Context, s Sys, o Options) []Finding {
	out := make([]Finding, 0, len(list))
	for _, p := range list {
		if o.Quick && p.slow() {
			continue
		}
		f := Finding{ID: p.id, Name: p.name, Class: p.class, Mandatory: p.mandatory != 0 && p.mandatory <= max(o.Level, 1)}
		if o.Level < 2 { // the level-2 profile pins its set
			switch o.Forces[p.id] {
			case "mandatory":
				f.Mandatory = true
			case "advisory":
				f.Mandatory = false
			}
		}
		f.Verdict, f.Code = p.check(ctx, s, o)
		if o.Host != nil && f.Verdict != Bad {
			if v, ok := o.Host(ctx, p.id); ok && (v == Bad || f.Verdict != OK) {
				f.Verdict, f.Code = v.known(), "host"
			}
		}
		out = append(out, f)
	}
	return out
}

// Check is the first finding that blocks, as an Environment error that names
// the probe; nil when the environment is fit. At level 2 what cannot be told
// blocks as well.
func Check(findings []Finding, level uint32) error {
	for _, f := range findings {
		if f.Fails(level >= 2) {
			return core.Errorf(core.Environment, "probes", "%s (%s) says %s: this environment is refused at level %d", f.ID, f.Name, f.Verdict, max(level, 1))
		}
	}
	return nil
}
