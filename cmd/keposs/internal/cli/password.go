package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
)

// maxPassword bounds a password line; longer input is refused, not cut.
const maxPassword = 1 << 10

// passwordFlag is --password-fd: where a script hands over a password.
type passwordFlag struct{ fd int }

func (p *passwordFlag) register(c *cobra.Command) {
	c.Flags().IntVar(&p.fd, "password-fd", -1, "read the password from the inherited descriptor `N`, up to the line end")
}

// read returns the password from the descriptor or, twice where it is new,
// from the terminal. The caller owns it.
func (p *passwordFlag) read(ctx context.Context, e *Env, prompt string, twice bool) (*secret.Buffer, error) {
	const op = "password"
	if p.fd >= 0 {
		f := os.NewFile(uintptr(p.fd), "password")
		if f == nil {
			return nil, core.Errorf(core.Usage, op, "descriptor %d is not open", p.fd)
		}
		if p.fd > 2 {
			defer f.Close()
		}
		return readLine(f, op, p.fd)
	}
	tty, ok := e.Stdin.(*os.File)
	if !ok || !term.IsTerminal(int(tty.Fd())) {
		return nil, advise(core.Errorf(core.Usage, op, "standard input is no terminal"),
			"give a descriptor: `--password-fd 3 3<password-file`")
	}
	first, err := askHidden(ctx, e, tty, prompt+": ")
	if err != nil || !twice {
		return first, err
	}
	again, err := askHidden(ctx, e, tty, "The same again: ")
	if err != nil {
		first.Wipe()
		return nil, err
	}
	defer again.Wipe()
	if !first.Equal(again) {
		first.Wipe()
		return nil, core.Errorf(core.Invalid, op, "the two entries differ: nothing was set")
	}
	return first, nil
}

// readLine reads one line of at most maxPassword bytes without its end.
func readLine(r io.Reader, op string, fd int) (*secret.Buffer, error) {
	buf := make([]byte, maxPassword+1)
	defer secret.Zero(buf)
	n := 0
	for n < len(buf) {
		k, err := r.Read(buf[n : n+1]) // byte by byte: what follows the line is the next reader's
		if k == 1 && buf[n] == '\n' {
			break
		}
		n += k
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, core.Errorf(core.Usage, op, "read descriptor %d: %w", fd, err)
		}
	}
	if n > maxPassword {
		return nil, core.Errorf(core.TooLarge, op, "longer than %d bytes", maxPassword)
	}
	line := bytes.TrimSuffix(buf[:n], []byte("\r"))
	if len(line) == 0 {
		return nil, core.Errorf(core.Usage, op, "descriptor %d gave no password", fd)
	}
	return secret.Copy(line), nil
}

// askHidden reads one line from the terminal without echo. A signal restores
// the terminal before the process ends.
func askHidden(ctx context.Context, e *Env, tty *os.File, prompt string) (*secret.Buffer, error) {
	fd := int(tty.Fd())
	state, err := term.GetState(fd)
	if err != nil {
		return nil, core.Errorf(core.Environment, "password", "terminal: %w", err)
	}
	e.Note("%s", prompt)
	type answer struct {
		b   []byte
		err error
	}
	got := make(chan answer, 1)
	go func() {
		b, err := term.ReadPassword(fd)
		got <- answer{b, err}
	}()
	select {
	case <-ctx.Done():
		_ = term.Restore(fd, state)
		return nil, core.Errorf(core.Canceled, "password", "no password was entered")
	case a := <-got:
		if a.err != nil || len(a.b) == 0 {
			secret.Zero(a.b)
			return nil, core.Errorf(core.Canceled, "password", "no password was entered")
		}
		return secret.Own(a.b), nil
	}
}
