package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/core"
)

// Groups of the root's help, in order.
const (
	groupStart = "start"
	groupUse   = "use"
	groupServe = "serve"
	groupLook  = "look"
)

// Main runs one command line and returns the exit status.
func Main(args []string, e *Env) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return Run(ctx, args, e)
}

// Run is Main with the caller's context.
func Run(ctx context.Context, args []string, e *Env) int {
	root := New(e)
	root.SetArgs(args)
	root.SetIn(e.Stdin)
	e.Stdout = &noticing{e: e, w: e.Stdout}
	root.SetOut(e.Stdout)
	root.SetErr(e.Stderr)
	c, err := root.ExecuteContextC(ctx)
	if err == nil {
		return ExitOK
	}
	if f := c.Flags().Lookup("json"); f != nil { // the lab's commands have one of their own
		e.json = f.Value.String() == "true"
	}
	if errors.Is(err, errNo) {
		return ExitNo
	}
	if strings.HasPrefix(err.Error(), "required flag(s)") { // cobra's own, without a type
		err = core.Errorf(core.Usage, "keposs", "%w", err)
	}
	if ctx.Err() != nil && !errors.Is(err, core.Canceled) {
		err = core.Errorf(core.Canceled, "keposs", "stopped by a signal: %w", err)
	}
	e.fail(err)
	return ExitCode(err)
}

// noticing is standard output that tells e when it is used.
type noticing struct {
	e *Env
	w io.Writer
}

func (n *noticing) Write(p []byte) (int, error) {
	n.e.said = true
	return n.w.Write(p)
}

// New builds the command tree.
func New(e *Env) *cobra.Command {
	root := &cobra.Command{
		Use:   "keposs",
		Short: "Keep a person's SM2 key under what they know and are",
		Long: `keposs keeps a person's SM2 private key sealed under a master key derived from
PINs, gestures, fingerprints, faces and a secret of the terminal. The sealed key
lives at a server that counts guesses and cannot read it.
It implements T/EMCG 001.3-2019 (CMMST-KEPOSS).`,
		Example: `  keposs quickstart                 # the whole system on this machine, in one minute
  keposs sign message.txt           # after: keposs provision FILE; keposs init
  keposs COMMAND --help`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return c.Help()
		},
	}
	root.PersistentFlags().StringVar(&e.dir, "dir", "", "data `folder` (default $XDG_DATA_HOME/keposs, else ~/.local/share/keposs)")
	root.PersistentFlags().BoolVar(&e.json, "json", false, "print one JSON object on standard output")
	_ = root.MarkPersistentFlagDirname("dir")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return advise(core.Errorf(core.Usage, c.CommandPath(), "%w", err), "see `%s --help`", c.CommandPath())
	})
	root.AddGroup(
		&cobra.Group{ID: groupStart, Title: "Start here:"},
		&cobra.Group{ID: groupUse, Title: "Use a key (user):"},
		&cobra.Group{ID: groupServe, Title: "Run the server (administrator):"},
		&cobra.Group{ID: groupLook, Title: "Look inside:"},
	)
	add := func(group string, cmds ...*cobra.Command) {
		for _, c := range cmds {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	for _, part := range commandGroups {
		add(part.group, part.build(e)...)
	}
	root.SetHelpCommandGroupID(groupLook)
	root.SetCompletionCommandGroupID(groupLook)
	return root
}

// noArgs, exactly and atMost are cobra's rules as Usage errors with advice.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if c.HasSubCommands() {
		err := core.Errorf(core.Usage, c.CommandPath(), "no command %q", args[0])
		c.SuggestionsMinimumDistance = 2
		if near := c.SuggestionsFor(args[0]); len(near) > 0 {
			return advise(err, "did you mean `%s %s`?", c.CommandPath(), near[0])
		}
		return advise(err, "see `%s --help`", c.CommandPath())
	}
	return advise(core.Errorf(core.Usage, c.CommandPath(), "takes no argument, got %d", len(args)), "see `%s --help`", c.CommandPath())
}

func exactly(n int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) == n {
			return nil
		}
		return advise(core.Errorf(core.Usage, c.CommandPath(), "want %s, got %d arguments", what, len(args)), "see `%s --help`", c.CommandPath())
	}
}

// onlyGroup marks a command that does nothing but show those below it.
const onlyGroup = "group"

// group is a command that only holds others.
func group(use, short, example string, cmds ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Example: example, Args: noArgs,
		RunE:        func(c *cobra.Command, _ []string) error { return c.Help() },
		Annotations: map[string]string{onlyGroup: ""},
	}
	c.AddCommand(cmds...)
	return c
}
