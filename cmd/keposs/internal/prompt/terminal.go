//go:build unix

package prompt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
)

// Terminal asks a person at the controlling terminal. What is typed is not
// echoed, nor is its length (G-7.4-07). Prompts are asked one at a time.
type Terminal struct {
	// Check is called with the open terminal before every entry, echo being
	// off already; an error ends the entry. nil is CheckTerminal.
	Check func(tty *os.File) error

	mu   sync.Mutex
	path string
}

var _ core.Prompter = (*Terminal)(nil)

// NewTerminal asks at /dev/tty, wherever standard input comes from.
func NewTerminal() *Terminal { return &Terminal{path: "/dev/tty"} }

// Ask implements core.Prompter. Esc and Ctrl-C are Canceled.
func (t *Terminal) Ask(ctx context.Context, q core.Prompt) (core.Sample, error) {
	const op = "terminal"
	i := slices.IndexFunc(q.Kinds, typed)
	if i < 0 {
		return core.Sample{}, core.Errorf(core.Unsupported, op, "%s: %v cannot be typed; give a file with --sample", q.Label, q.Kinds)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return core.Sample{}, core.Errorf(core.Canceled, op, "%w", err)
	}
	tty, err := os.OpenFile(t.path, os.O_RDWR, 0)
	if err != nil {
		return core.Sample{}, core.Errorf(core.Usage, op, "no terminal to ask at: %w; scripts use --ppd-fd", err)
	}
	defer tty.Close()
	check := t.Check
	if check == nil {
		check = CheckTerminal
	}
	// A background job would be stopped by the kernel on changing the terminal.
	if err := checkForeground(tty); err != nil {
		return core.Sample{}, err
	}
	fd := int(tty.Fd())
	old, err := term.MakeRaw(fd)
	if err != nil {
		return core.Sample{}, core.Errorf(core.Environment, op, "switch echo off: %w", err)
	}
	defer func() { _ = term.Restore(fd, old) }()
	if err := check(tty); err != nil {
		return core.Sample{}, err
	}
	var data *secret.Buffer
	if q.Kinds[i] == core.SamplePattern {
		data, err = drawGesture(ctx, tty, q)
	} else {
		data, err = typeHidden(ctx, tty, q)
	}
	if err != nil {
		return core.Sample{}, err
	}
	return core.Sample{Kind: q.Kinds[i], Model: Model, Data: data}, nil
}

// CheckTerminal refuses a terminal whose input others would get or see: it
// must be a terminal, our process group in its foreground, echo off.
//
// req: P-12
func CheckTerminal(tty *os.File) error {
	const op = "terminal"
	if err := checkForeground(tty); err != nil {
		return err
	}
	echo, err := echoes(int(tty.Fd()))
	if err != nil {
		return core.Errorf(core.Environment, op, "read its settings: %w", err)
	}
	if echo {
		return core.Errorf(core.Environment, op, "it echoes what is typed; use another terminal")
	}
	return nil
}

func checkForeground(tty *os.File) error {
	const op = "terminal"
	fd := int(tty.Fd())
	if !term.IsTerminal(fd) {
		return core.Errorf(core.Environment, op, "%s is no terminal", tty.Name())
	}
	group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
	if err != nil {
		return core.Errorf(core.Environment, op, "foreground process group: %w", err)
	}
	if group != unix.Getpgrp() {
		return core.Errorf(core.Environment, op, "another process group has the foreground; bring this one forward (fg) and try again")
	}
	return nil
}

// heading writes what is asked. Nothing in it is secret.
func heading(q core.Prompt) string {
	verb := map[core.Purpose]string{core.PurposeEnroll: "choose a ", core.PurposeConfirm: "the same again: ", core.PurposeRecover: ""}[q.Purpose]
	return fmt.Sprintf("%s: %s%s", q.Label, verb, q.Text)
}

// typeHidden reads one line key by key into a secret buffer of fixed size.
func typeHidden(ctx context.Context, tty *os.File, q core.Prompt) (*secret.Buffer, error) {
	const op = "terminal"
	if q.Refusal != "" {
		fmt.Fprintf(tty, "\r  ✗ %s\r\n", q.Refusal)
	}
	fmt.Fprintf(tty, "\r%s (not shown; Esc cancels): ", heading(q))
	defer fmt.Fprint(tty, "\r\n")
	buf := secret.New(maxText)
	n := 0
	fail := func(err error) (*secret.Buffer, error) {
		buf.Wipe()
		return nil, err
	}
	var one [1]byte
	defer clear(one[:])
	for {
		ready, err := readable(ctx, int(tty.Fd()), -1)
		if err != nil {
			return fail(err)
		}
		if !ready {
			continue
		}
		if k, err := tty.Read(one[:]); err != nil || k == 0 {
			return fail(core.Errorf(core.Canceled, op, "the terminal went away"))
		}
		switch c := one[0]; {
		case c == '\r' || c == '\n':
			out := secret.Copy(buf.Bytes()[:n])
			buf.Wipe()
			return out, nil
		case c == 3 || c == 4 && n == 0:
			return fail(core.Errorf(core.Canceled, op, "%s: given up", q.Label))
		case c == 0x1b:
			alone, err := escape(ctx, tty)
			if err != nil {
				return fail(err)
			}
			if alone {
				return fail(core.Errorf(core.Canceled, op, "%s: given up", q.Label))
			}
		case c == 0x7f || c == 8:
			if n > 0 {
				n--
				buf.Bytes()[n] = 0
			}
		case c == 21: // Ctrl-U
			secret.Zero(buf.Bytes())
			n = 0
		case c >= 0x20 && n < buf.Len():
			buf.Bytes()[n] = c
			n++
		}
	}
}

// escape reports whether Esc was pressed alone; the rest of a key's sequence
// (arrows and such) is swallowed.
func escape(ctx context.Context, tty *os.File) (alone bool, err error) {
	var rest [32]byte
	ready, err := readable(ctx, int(tty.Fd()), 40)
	if err != nil || !ready {
		return err == nil, err
	}
	_, err = tty.Read(rest[:])
	clear(rest[:])
	return false, err
}

// readable waits for input in slices short enough to notice ctx in time. wait
// is in milliseconds, negative = one slice.
func readable(ctx context.Context, fd, wait int) (bool, error) {
	const slice = 50
	if wait < 0 {
		wait = slice
	}
	if err := ctx.Err(); err != nil {
		return false, core.Errorf(core.Canceled, "terminal", "%w", err)
	}
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(p, wait)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return false, core.Errorf(core.Environment, "terminal", "wait for input: %w", err)
	}
	return n > 0, nil
}
