package launch

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/keposs/keposs/core"
)

// Reason says why a plugin did not start.
type Reason string

// Reasons.
const (
	NotExecutable Reason = "not executable"
	Digest        Reason = "digest mismatch"
	ExitedEarly   Reason = "exited early"
	BadHandshake  Reason = "bad handshake"
	BadVersion    Reason = "version"
	TimedOut      Reason = "timeout"
	NoAnswer      Reason = "no answer"
)

var reasonCodes = map[Reason]core.Code{
	NotExecutable: core.Invalid,
	Digest:        core.Integrity,
	ExitedEarly:   core.Unavailable,
	BadHandshake:  core.Invalid,
	BadVersion:    core.Unsupported,
	TimedOut:      core.Timeout,
	NoAnswer:      core.Unavailable,
}

var advice = map[Reason]string{
	NotExecutable: "check the path, its permission and the machine it was built for",
	Digest:        "the file is not the one that was pinned; pin it again only if you changed it",
	ExitedEarly:   "the last lines of its standard error tell why",
	BadHandshake:  "the first line of its standard output must be the handshake",
	BadVersion:    "build the plugin for version 1 of the protocol",
	TimedOut:      "a plugin answers within 5 s; slow work belongs into Configure",
	NoAnswer:      "the health service and mutual TLS must work right after the handshake",
}

// A StartError tells why a plugin did not start. errors.As finds it, and
// errors.Is its core.Code.
type StartError struct {
	Reason Reason
	Plugin string // the name it was to be started under
	Detail string
	Stderr string // the last 4 KiB of standard error
}

// Error puts the reason, what to do and the last line of standard error together.
func (e *StartError) Error() string {
	s := fmt.Sprintf("plugin %s: start: %s", e.Plugin, e.Reason)
	if e.Detail != "" {
		s += " (" + e.Detail + ")"
	}
	s += ": " + advice[e.Reason]
	if last := lastLine(e.Stderr); last != "" {
		s += "; it said: " + last
	}
	return s
}

// Is reports whether target is the code of the reason.
func (e *StartError) Is(target error) bool {
	c, ok := target.(core.Code)
	return ok && c == reasonCodes[e.Reason]
}

// As lets core.CodeOf see the code.
func (e *StartError) As(target any) bool {
	switch t := target.(type) {
	case *core.Code:
		*t = reasonCodes[e.Reason]
	case **core.Error:
		*t = &core.Error{Code: reasonCodes[e.Reason], Op: "plugin " + e.Plugin + ": start", Msg: strings.TrimPrefix(e.Error(), "plugin "+e.Plugin+": start: ")}
	default:
		return false
	}
	return true
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	last := strings.TrimSpace(lines[len(lines)-1])
	if len(last) > 200 {
		last = last[:200]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return -1
		}
		return r
	}, last)
}

// contextError is the caller's own ending of a start.
func contextError(name string, cause error) error {
	if errors.Is(cause, context.DeadlineExceeded) {
		return core.Errorf(core.Timeout, "plugin "+name+": start", "%w", cause)
	}
	return core.Errorf(core.Canceled, "plugin "+name+": start", "%w", cause)
}
