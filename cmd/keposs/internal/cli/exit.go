package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/keposs/keposs/core"
)

// A Family is one exit status: the codes a script would treat alike, and what
// a person does about them.
type Family struct {
	Exit   int
	Name   string
	Codes  []core.Code
	Means  string // one line for docs/cli.md
	Advice string // what to do when the error itself does not say
}

// Exit statuses that no core.Code stands for.
const (
	ExitOK = 0
	// ExitNo is the negative answer of a command that asks a question: the
	// signature does not verify, a self-test failed its check.
	ExitNo = 1
)

// Families maps every core.Code to its exit status. The numbers are stable;
// docs/cli.md is made from this table.
var Families = []Family{
	{2, "usage", []core.Code{core.Usage, core.Invalid, core.TooLarge},
		"the command or its input is wrong; nothing was done",
		"see the command's --help"},
	{3, "auth", []core.Code{core.Auth},
		"a PIN, gesture, password or other factor was wrong; the try was counted",
		"enter the factors again; `keposs status` shows the tries left"},
	{4, "locked", []core.Code{core.Locked},
		"the tries are used up",
		"ask the administrator to run `keposs admin user unlock`"},
	{5, "state", []core.Code{core.State, core.NotFound, core.Conflict},
		"not possible now: something is missing, already there, or in another state",
		"`keposs status` shows where things stand"},
	{6, "retry", []core.Code{core.Unavailable, core.Indeterminate, core.Throttled, core.Timeout},
		"SS-CC, a plugin or the network did not answer; run the same command again",
		"check that SS-CC is running and unsealed, then run the same command again"},
	{7, "policy", []core.Code{core.Policy},
		"the policy of the user breaks a rule or was altered; nothing was asked or tried",
		"mend the policy where the message points; if you wrote none, tell the administrator: the record at SS-CC is not the one this terminal accepted"},
	{8, "integrity", []core.Code{core.Integrity, core.Corrupt},
		"a stored file, record or program is not what was written or signed",
		"do not enter factors here; restore the named part or recover on a clean terminal"},
	{9, "environment", []core.Code{core.Environment},
		"a check of this machine refused to go on",
		"the message names the check"},
	{10, "refused", []core.Code{core.Refused, core.Fenced, core.Closed},
		"the other side refused and says no more",
		"the app or device may be revoked, the user removed, or the session over: ask the administrator"},
	{11, "unsupported", []core.Code{core.Unsupported},
		"this build or platform does not do that",
		"`keposs version` and docs/architecture.md tell what it does"},
	{12, "exhausted", []core.Code{core.Exhausted},
		"disk space or a quota is used up",
		"free space, then run the same command again"},
	{13, "canceled", []core.Code{core.Canceled, core.CaptureRefused},
		"the person gave up or no usable sample was given; no try was counted",
		"run the command again when ready"},
	{70, "internal", []core.Code{core.Internal, core.Unknown},
		"a defect of keposs",
		"please report it with the output of `keposs version`"},
}

// familyOf finds the family of a code; a code of a later version is internal.
func familyOf(c core.Code) Family {
	for _, f := range Families {
		for _, have := range f.Codes {
			if have == c {
				return f
			}
		}
	}
	return Families[len(Families)-1]
}

// errNo ends a command that asked a question and was answered no. The command
// has already printed the answer.
var errNo = errors.New("the answer is no")

// ExitCode is the process's exit status for err.
func ExitCode(err error) int {
	switch {
	case err == nil:
		return ExitOK
	case errors.Is(err, errNo):
		return ExitNo
	default:
		return familyOf(core.CodeOf(err)).Exit
	}
}

// usagef is a Usage error of a command line.
func usagef(op, format string, args ...any) error {
	return core.Errorf(core.Usage, op, format, args...)
}

// A hint is an error that carries its own advice.
type hint struct {
	error
	advice string
}

func (h hint) Unwrap() error { return h.error }

// advise attaches what to do to err; nil stays nil.
func advise(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return hint{err, fmt.Sprintf(format, args...)}
}

// adviceFor returns what the person can do about err.
func adviceFor(err error) string {
	var h hint
	if errors.As(err, &h) {
		return h.advice
	}
	return familyOf(core.CodeOf(err)).Advice
}

// opOf returns the innermost-known operation that failed, "" when unknown.
func opOf(err error) string {
	var e *core.Error
	if errors.As(err, &e) {
		return e.Op
	}
	return ""
}

// messageOf is the text after the operation.
func messageOf(err error) string {
	text := err.Error()
	if op := opOf(err); op != "" {
		text = strings.TrimPrefix(text, op+": ")
	}
	return text
}
