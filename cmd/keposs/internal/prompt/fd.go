package prompt

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
)

// Bounds of the line format of docs/ppd-fd.md.
const (
	maxAnswers = 4 << 20 // bytes in all
	maxLines   = 1024
	maxText    = 256 // bytes of one typed answer
)

type form uint8

const (
	formText form = iota
	formBase64
	formFile
)

// line is one answer. For formFile data holds the path.
type line struct {
	form form
	data *secret.Buffer
	no   int
}

// Answers are the samples a script gave through a descriptor. Safe for
// concurrent use. They stay in memory until Wipe.
type Answers struct {
	mu    sync.Mutex
	lines map[string][]line
	next  map[string]int
	last  map[string]int // line index answered last, for confirm prompts
}

var _ core.Prompter = (*Answers)(nil)

// OpenFD reads all answers from the inherited descriptor fd and closes it
// (descriptors 0 to 2 stay open).
func OpenFD(fd int) (*Answers, error) {
	if fd < 0 {
		return nil, core.Errorf(core.Usage, "ppd-fd", "descriptor %d: want 0 or more", fd)
	}
	f := os.NewFile(uintptr(fd), "ppd-fd")
	if f == nil {
		return nil, core.Errorf(core.Usage, "ppd-fd", "descriptor %d is not open; write --ppd-fd 3 3<answers", fd)
	}
	if fd > 2 {
		defer f.Close()
	}
	a, err := ReadAnswers(f)
	if errors.Is(err, os.ErrInvalid) || err != nil && strings.Contains(err.Error(), "bad file descriptor") {
		return nil, core.Errorf(core.Usage, "ppd-fd", "descriptor %d is not open; write --ppd-fd 3 3<answers", fd)
	}
	return a, err
}

// ReadAnswers reads the line format of docs/ppd-fd.md to its end. Errors name
// the line, never its value. The caller wipes the Answers.
func ReadAnswers(r io.Reader) (*Answers, error) {
	const op = "ppd-fd"
	raw, err := readCapped(r, maxAnswers)
	defer raw.Wipe()
	if err != nil {
		return nil, core.Errorf(core.CodeOf(err), op, "%w", err)
	}
	a := &Answers{lines: map[string][]line{}, next: map[string]int{}, last: map[string]int{}}
	count := 0
	rest := raw.Bytes()
	for no := 1; len(rest) > 0; no++ {
		var text []byte
		text, rest, _ = bytes.Cut(rest, []byte{'\n'})
		text = bytes.TrimSuffix(text, []byte{'\r'})
		if len(bytes.TrimLeft(text, " \t")) == 0 || text[0] == '#' {
			continue
		}
		if count++; count > maxLines {
			a.Wipe()
			return nil, core.Errorf(core.TooLarge, op, "more than %d answers", maxLines)
		}
		if err := a.add(no, text); err != nil {
			a.Wipe()
			return nil, err
		}
	}
	return a, nil
}

// add parses one line; the value is copied into its own buffer.
func (a *Answers) add(no int, text []byte) error {
	const op = "ppd-fd"
	eq, at := bytes.IndexByte(text, '='), bytes.IndexByte(text, '@')
	if at >= 0 && (eq < 0 || at < eq) {
		kind, value, ok := bytes.Cut(text[at+1:], []byte{':'})
		l := line{no: no}
		switch {
		case ok && string(kind) == "base64":
			b := make([]byte, base64.StdEncoding.DecodedLen(len(value)))
			n, err := base64.StdEncoding.Strict().Decode(b, value)
			if err != nil || n == 0 || n > MaxSample || bytes.ContainsRune(value, '\r') {
				secret.Zero(b)
				return core.Errorf(core.Invalid, op, "line %d: want standard base64 of 1 to %d bytes", no, MaxSample)
			}
			l.form, l.data = formBase64, secret.Own(b[:n])
		case ok && string(kind) == "file":
			if len(value) == 0 || len(value) > 4096 || bytes.IndexByte(value, 0) >= 0 {
				return core.Errorf(core.Invalid, op, "line %d: want a path after @file:", no)
			}
			l.form, l.data = formFile, secret.Copy(value)
		default:
			return core.Errorf(core.Invalid, op, "line %d: after the label want @base64: or @file:", no)
		}
		if !validLabel(text[:at]) {
			l.data.Wipe()
			return core.Errorf(core.Invalid, op, "line %d: a label has 1 to 32 of a-z 0-9 : _ -", no)
		}
		label := string(text[:at])
		a.lines[label] = append(a.lines[label], l)
		return nil
	}
	if eq < 0 {
		return core.Errorf(core.Invalid, op, "line %d: want label=value, label@base64:… or label@file:…", no)
	}
	if !validLabel(text[:eq]) {
		return core.Errorf(core.Invalid, op, "line %d: a label has 1 to 32 of a-z 0-9 : _ -", no)
	}
	value := text[eq+1:]
	if len(value) == 0 || len(value) > maxText {
		return core.Errorf(core.Invalid, op, "line %d: want a value of 1 to %d bytes", no, maxText)
	}
	for _, c := range value {
		if c < 0x20 || c == 0x7f {
			return core.Errorf(core.Invalid, op, "line %d: the value holds a control character", no)
		}
	}
	label := string(text[:eq])
	a.lines[label] = append(a.lines[label], line{formText, secret.Copy(value), no})
	return nil
}

func validLabel(b []byte) bool {
	if len(b) == 0 || len(b) > 32 {
		return false
	}
	for _, c := range b {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != ':' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// typed reports whether samples of a kind are text a person knows.
func typed(k core.SampleKind) bool { return k == core.SamplePIN || k == core.SamplePattern }

// Ask implements core.Prompter. The lines of a label answer its prompts in
// order; a confirm prompt gets the line before once more; a lone line answers
// every service again. A refused answer takes the next line, and when there
// is none it is CaptureRefused.
func (a *Answers) Ask(ctx context.Context, q core.Prompt) (core.Sample, error) {
	const op = "ppd-fd"
	if err := ctx.Err(); err != nil {
		return core.Sample{}, core.Errorf(core.Canceled, op, "%w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	ls := a.lines[q.Label]
	if len(ls) == 0 {
		return core.Sample{}, core.Errorf(core.NotFound, op, "no line for %s; add %s=… (docs/ppd-fd.md)", q.Label, q.Label)
	}
	i := a.next[q.Label]
	switch {
	case q.Purpose == core.PurposeConfirm:
		i = a.last[q.Label]
	case q.Refusal != "" && i >= len(ls):
		return core.Sample{}, core.Errorf(core.CaptureRefused, op, "line %d, %s: %s", ls[len(ls)-1].no, q.Label, q.Refusal)
	case i >= len(ls) && q.Index <= 1:
		i = 0 // the next service of the same run begins again
	case i >= len(ls):
		return core.Sample{}, core.Errorf(core.NotFound, op, "%s: sample %d of %d is asked for, %d lines are given", q.Label, q.Index, q.Total, len(ls))
	}
	if q.Purpose != core.PurposeConfirm {
		a.next[q.Label], a.last[q.Label] = i+1, i
	}
	return ls[i].sample(q)
}

func (l line) sample(q core.Prompt) (core.Sample, error) {
	const op = "ppd-fd"
	i := slices.IndexFunc(q.Kinds, func(k core.SampleKind) bool { return typed(k) == (l.form == formText) })
	if i < 0 {
		want := "label@base64:… or label@file:…"
		if len(q.Kinds) > 0 && typed(q.Kinds[0]) {
			want = "label=value; a PIN or gesture never comes from a file"
		}
		return core.Sample{}, core.Errorf(core.Invalid, op, "line %d, %s: want %s", l.no, q.Label, want)
	}
	if l.form != formFile {
		return core.Sample{Kind: q.Kinds[i], Model: "ppd-fd", Data: l.data.Clone()}, nil
	}
	b, err := readSample(string(l.data.Bytes()))
	if err != nil {
		return core.Sample{}, core.Errorf(core.CodeOf(err), op, "line %d, %s: %w", l.no, q.Label, err)
	}
	return core.Sample{Kind: q.Kinds[i], Model: "ppd-fd", Data: b}, nil
}

// Wipe forgets every answer.
func (a *Answers) Wipe() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, ls := range a.lines {
		for _, l := range ls {
			l.data.Wipe()
		}
	}
	clear(a.lines)
}
