package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/client"
	"github.com/keposs/keposs/cmd/keposs/internal/sheet"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
)

func recoveryCommands(e *Env) []*cobra.Command {
	return []*cobra.Command{
		group("recovery", "Make a recovery sheet", "  keposs recovery create", recoveryCreateCommand(e)),
		recoverCommand(e),
		revokeCommand(e),
	}
}

// sheetFlags say whether a new recovery sheet is made, and where it goes.
type sheetFlags struct {
	out  string
	none bool
	want bool // this command makes one unless told not to
}

func (f *sheetFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.out, "sheet", "", "write the new recovery sheet to `FILE` (0600) instead of showing it on the terminal; in a revoke it asks for one")
	if f.want {
		c.Flags().BoolVar(&f.none, "no-sheet", false, "make no recovery code: losing this terminal then loses the key")
	}
}

// show returns how the sheet is shown; nil when none is wanted.
func (f *sheetFlags) show(e *Env) (client.ShowSheet, error) {
	switch {
	case f.none && f.out != "":
		return nil, usagef("recovery sheet", "--sheet and --no-sheet exclude each other")
	case f.out != "":
		if _, err := os.Lstat(f.out); err == nil {
			return nil, core.Errorf(core.Conflict, "recovery sheet", "%s exists; a sheet never replaces a file", f.out)
		}
		return func(_ context.Context, s *client.Sheet) error { return writeSheet(e, f.out, s) }, nil
	case f.want && !f.none:
		return showSheet, nil
	}
	return nil, nil
}

// writeSheet keeps the sheet in a file only its owner reads.
func writeSheet(e *Env, name string, s *client.Sheet) error {
	var b bytes.Buffer
	b.Grow(sheet.MaxText)
	defer func() { secret.Zero(b.Bytes()) }()
	if err := sheet.Write(&b, s); err != nil {
		return err
	}
	if err := writeWhole("recovery sheet", name, b.Bytes(), 0o600); err != nil {
		return err
	}
	e.Note("the recovery sheet is in %s: print it, then delete the file", name)
	return nil
}

// showSheet shows the sheet on the controlling terminal, has one of its words
// typed back, and clears the screen.
func showSheet(ctx context.Context, s *client.Sheet) error {
	const op = "recovery sheet"
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return advise(core.Errorf(core.Usage, op, "no terminal to show it on: %w", err), "write it to a file with --sheet FILE")
	}
	defer tty.Close()
	if err := sheet.Write(tty, s); err != nil {
		return err
	}
	words := s.Code.Words()
	defer words.Wipe()
	list := bytes.Fields(words.Bytes())
	ask := 1 + int(s.Bind[0])%len(list) // public, and another word for each sheet
	for range 3 {
		if err := ctx.Err(); err != nil {
			return core.Errorf(core.Canceled, op, "%w", err)
		}
		fmt.Fprintf(tty, "\nWith the sheet on paper, type word %d: ", ask)
		got, err := readLine(tty, op, int(tty.Fd()))
		if err != nil {
			return err
		}
		right := bytes.EqualFold(bytes.TrimSpace(got.Bytes()), list[ask-1])
		got.Wipe()
		if right {
			fmt.Fprint(tty, "\x1b[2J\x1b[3J\x1b[H")
			return nil
		}
		fmt.Fprintf(tty, "That is not word %d.", ask)
	}
	return core.Errorf(core.Canceled, op, "the sheet was not confirmed: nothing was stored")
}

func recoveryCreateCommand(e *Env) *cobra.Command {
	var s session
	f := sheetFlags{}
	c := &cobra.Command{
		Use:   "create",
		Short: "Make a recovery code and show its sheet; asks for the factors",
		Long: `Make a recovery code and show its sheet: twelve words, a QR code and the details.
With the sheet and the factors a new terminal takes over this key; without the
factors the sheet opens nothing. One of its words is typed back before anything
is stored. A policy that has a code takes a new one only by "keposs revoke".`,
		Example: "  keposs recovery create\n  keposs recovery create --sheet sheet.txt",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			f.want = true
			show, err := f.show(e)
			if err != nil {
				return err
			}
			return s.with(c.Context(), e, func(cl *client.Client) error {
				got, err := cl.CreateRecovery(c.Context(), show, s.factors...)
				if err != nil {
					return err
				}
				return e.reportChange("recovery", got, nil, !s.ppd.given())
			})
		},
	}
	s.register(c)
	f.register(c)
	return c
}

func revokeCommand(e *Env) *cobra.Command {
	f := changeFlags{revoke: true}
	f.sheet.want = true
	var r client.RevokeRequest
	c := &cobra.Command{
		Use:   "revoke",
		Short: "Make everything new but the key itself: after a loss, a leak, or for a stricter policy",
		Long: `Start a new generation: anchor, device secret, device key, recovery code and every
salt are new, every factor is captured again, and SS-CC destroys the old record.
The user's key pairs and id stay. Run it when a sheet, a factor or a copy of this
terminal's disk may be in other hands, to leave plain mode, or to tighten the
policy. It does not help against whoever also kept the old sealed keys: then
deregister and initialise again.`,
		Example: `  keposs revoke
  keposs revoke --hardened --sheet new-sheet.txt
  keposs revoke --policy 'pin & gesture & face'`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if r.Params, err = parseParams(f.params); err != nil {
				return err
			}
			r.Factors = f.factors
			return f.with(c.Context(), e, func(cl *client.Client) error {
				return f.revokeAs(c.Context(), e, cl, r, nil)
			})
		},
	}
	f.session.register(c)
	c.Flags().StringArrayVar(&f.params, "param", nil, "setting of a factor's enrolment as `label:name=value`; may be repeated")
	f.sheet.register(c)
	c.Flags().StringVar(&r.Policy, "policy", "", "the new factor policy `text` (default: as it is)")
	c.Flags().StringVar(&r.KDF, "kdf", "", "the KDF with another cost, as `name$key=n,…` (default: as it is)")
	c.Flags().BoolVar(&r.Hardened, "hardened", false, "leave plain escrow: from then on every guess is counted; there is no way back")
	return c
}

// recovered is what `keposs recover --json` prints.
type recovered struct {
	UserID   string `json:"user_id"`
	Sign     string `json:"sign_key"`
	Enc      string `json:"enc_key"`
	Approved bool   `json:"approved"`
	Resumed  bool   `json:"resumed"`
}

func recoverCommand(e *Env) *cobra.Command {
	var s session
	f := sheetFlags{want: true}
	var from, tree string
	var params []string
	profile := client.DefaultProfile()
	c := &cobra.Command{
		Use:   "recover",
		Short: "Take over a user on this new terminal, with their recovery sheet and factors",
		Long: `Take over a user on this terminal, which is provisioned and holds no user yet. Asks
for the recovery sheet and for the factors of one way to open; then every factor
is captured again, and a new sheet replaces the used one. The old terminal opens
nothing afterwards. If the command is interrupted, run it again.`,
		Example: `  keposs recover
  keposs recover --from sheet.txt --sheet new-sheet.txt
  keposs recover --factors pin,gesture`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			p, err := parseParams(params)
			if err != nil {
				return err
			}
			show, err := f.show(e)
			if err != nil {
				return err
			}
			sh, err := readSheet(e, from)
			if err != nil {
				return err
			}
			defer sh.Wipe()
			return s.withProfile(c.Context(), e, profile, func(cl *client.Client) error {
				u, err := cl.Recover(c.Context(), client.RecoverRequest{Sheet: sh, Choose: announce(e),
					Then: client.RevokeRequest{Policy: tree, Sheet: show, Params: p, Factors: s.factors}})
				if err != nil {
					return err
				}
				v := recovered{UserID: u.ID.String(), Sign: u.Sign, Enc: u.Enc, Approved: u.Approved && !s.ppd.given(), Resumed: u.Resumed}
				return e.Report(v, func(w io.Writer) {
					if u.Resumed {
						fmt.Fprintln(w, "completed the interrupted recovery; nothing had to be asked")
					}
					fmt.Fprintf(w, "user     %s\nThe old terminal and the used sheet open nothing now.\n", v.UserID)
				})
			})
		},
	}
	s.register(c)
	fl := c.Flags()
	fl.StringVar(&from, "from", "", "read the recovery sheet from `FILE`, - for standard input (default: asks at the terminal)")
	fl.StringVar(&tree, "policy", "", "the new factor policy `text` (default: as it was)")
	fl.StringArrayVar(&params, "param", nil, "setting of a factor's enrolment as `label:name=value`; may be repeated")
	fl.Uint64Var(&profile.SlowFloor, "min-iterations", profile.SlowFloor, "lowest iteration `count` this terminal will ever accept; sealed")
	fl.Uint32Var(&profile.Limit, "limit", profile.Limit, "wrong tries until the lock, 1 to 10; sealed")
	f.register(c)
	return c
}

// announce tells the person the ways to open before they are asked; the flags
// choose.
func announce(e *Env) func(string, [][]string) []string {
	return func(policy string, ways [][]string) []string {
		e.Note("the policy is %s", policy)
		for _, w := range ways {
			e.Note("  a way to open: %s", strings.Join(w, " & "))
		}
		return nil
	}
}

// readSheet reads the sheet from a file, or line by line from the terminal. The
// caller wipes it.
func readSheet(e *Env, from string) (*client.Sheet, error) {
	const op = "recovery sheet"
	if from != "" {
		b, err := e.readInput(op, from, sheet.MaxText)
		if err != nil {
			return nil, err
		}
		defer secret.Zero(b)
		return sheet.Read(b)
	}
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, advise(core.Errorf(core.Usage, op, "no terminal to ask at: %w", err), "give the sheet with --from FILE")
	}
	defer tty.Close()
	fmt.Fprintf(tty, "Type the sheet's 12 words and then its line beginning KEPOSS-DETAILS1:, or the one\nline beginning KEPOSS-SHEET1: of the QR code; an empty line ends.\n")
	var b bytes.Buffer
	b.Grow(sheet.MaxText)
	defer func() { secret.Zero(b.Bytes()) }()
	for b.Len() < sheet.MaxText/2 {
		line, err := readLine(tty, op, int(tty.Fd()))
		if err != nil {
			return nil, err
		}
		n := len(bytes.TrimSpace(line.Bytes()))
		b.Write(line.Bytes())
		b.WriteByte('\n')
		line.Wipe()
		if n == 0 {
			break
		}
	}
	return sheet.Read(b.Bytes())
}
