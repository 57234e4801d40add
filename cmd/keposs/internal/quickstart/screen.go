package quickstart

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// Step is one line of the report.
type Step struct {
	Part   string  `json:"part"`             // what the step belongs to
	Clause string  `json:"clause,omitempty"` // "7.1 (3)" for the numbered steps of a flow
	Text   string  `json:"text"`
	MS     float64 `json:"ms"`
}

// screen prints progress as it happens and keeps it for the result. It is safe
// for concurrent use: flow events and quickstart's own lines meet here.
type screen struct {
	mu    sync.Mutex
	w     io.Writer
	part  string
	last  time.Time
	steps []Step
}

func newScreen(w io.Writer) *screen { return &screen{w: w, last: time.Now()} }

// textWidth is where the times stand.
const textWidth = 82

// heading opens a part.
func (s *screen) heading(part string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.part = part
	s.last = time.Now()
	fmt.Fprintf(s.w, "\n%s\n", part)
}

// did reports what was just finished; its time is that since the line before.
func (s *screen) did(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.line("", fmt.Sprintf(format, args...), now.Sub(s.last))
	s.last = now
}

// flow reports one numbered step of a clause-7 flow with the time it measured.
func (s *screen) flow(flow string, n int, text string, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clause := flow
	if n > 0 {
		clause = fmt.Sprintf("%s (%d)", flow, n)
	}
	s.line(clause, text, took)
	s.last = time.Now()
}

// line prints and keeps one line; mu is held.
func (s *screen) line(clause, text string, took time.Duration) {
	s.steps = append(s.steps, Step{Part: s.part, Clause: clause, Text: text, MS: float64(took.Microseconds()) / 1000})
	label := "  ·           "
	if clause != "" {
		label = fmt.Sprintf("  %-12s", clause)
	}
	full := label + text
	pad := textWidth - len([]rune(full))
	if pad < 1 {
		pad = 1
	}
	fmt.Fprintf(s.w, "%s%s%s\n", full, strings.Repeat(" ", pad), shortTime(took))
}

// say prints a line that is no step.
func (s *screen) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.w, format+"\n", args...)
}

// shortTime shows a duration in the width of "123.4 ms".
func shortTime(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return fmt.Sprintf("%6.1f s", d.Seconds())
	case d >= time.Second:
		return fmt.Sprintf("%6.2f s", d.Seconds())
	default:
		return fmt.Sprintf("%6.1f ms", float64(d.Microseconds())/1000)
	}
}
