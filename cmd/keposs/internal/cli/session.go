package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/client"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/step"
)

// session is what every command that opens the terminal's module shares.
type session struct {
	ppd       ppdFlag
	factors   []string
	verbose   bool
	inProcess bool
	agent     agentFlag
}

func (s *session) register(c *cobra.Command) {
	s.ppd.register(c)
	c.Flags().StringSliceVar(&s.factors, "factors", nil, "labels of the factors you will give (default: the policy's first set)")
	c.Flags().BoolVarP(&s.verbose, "verbose", "v", false, "show the numbered steps of the flow")
	c.Flags().BoolVar(&s.inProcess, "in-process", false, "run sources and KDFs inside this process instead of as plugin processes")
	s.agent.register(c)
}

// with opens the client of --dir, runs do, and closes it whatever happens.
func (s *session) with(ctx context.Context, e *Env, do func(*client.Client) error) error {
	return s.withProfile(ctx, e, client.Profile{}, do)
}

// withProfile is with for a command that may initialise: profile is what it
// asks for.
func (s *session) withProfile(ctx context.Context, e *Env, profile client.Profile, do func(*client.Client) error) (err error) {
	l, err := e.Layout()
	if err != nil {
		return err
	}
	p, wipe, err := s.ppd.prompter(e)
	if err != nil {
		return err
	}
	defer wipe()
	pinned, err := e.pinned()
	if err != nil {
		return err
	}
	p, end, err := s.ppd.sensor.over(ctx, pinned, p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	o := client.Options{
		Dir: l.Terminal, Pinned: pinned.Dir, Prompter: p, Profile: profile, InProcess: s.inProcess, Step: step.At,
		Events: func(ev client.Event) { s.event(e, ev) },
	}
	if o.Agent, err = s.agent.at(ctx, l); err != nil {
		return err
	}
	if o.Agent != "" && profile != (client.Profile{}) {
		o.Profile.Level = 2
	}
	c, err := client.Open(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if err := s.byHand(ctx, c, o); err != nil {
		return err
	}
	return s.explain(ctx, c, do(c))
}

// byHand refuses, at level 2, PPD that no person enters: a descriptor or a file.
// req: K-15.4-02a
func (s *session) byHand(ctx context.Context, c *client.Client, o client.Options) error {
	if s.ppd.fd < 0 && len(s.ppd.samples) == 0 {
		return nil
	}
	st, err := c.Status(ctx, false)
	if err != nil {
		return err
	}
	level := st.Profile.Level
	if st.User.IsZero() { // what this command would seal
		level = o.Profile.Level
	}
	if level < 2 {
		return nil
	}
	return core.Errorf(core.Policy, "keposs", "at level 2 a person enters PPD at a terminal or a pinned sensor: --ppd-fd and --sample are refused")
}

// event shows alarms always, and the numbered steps to those who asked.
func (s *session) event(e *Env, ev client.Event) {
	switch {
	case ev.Flow == "alarm":
		e.Note("ALARM: %s", ev.Text)
	case s.verbose && ev.Step > 0:
		e.Note("  %s (%d) %s [%s]", ev.Flow, ev.Step, ev.Text, ev.Took.Round(100*time.Microsecond))
	}
}

// explain adds to a wrong factor how many tries are left, as this terminal
// counts them; which factor was wrong nobody knows.
func (s *session) explain(ctx context.Context, c *client.Client, err error) error {
	if !errors.Is(err, core.Auth) {
		return err
	}
	st, serr := c.Status(ctx, false)
	if serr != nil {
		return err
	}
	left := int(st.Profile.Limit) - int(st.Used)
	if left <= 0 {
		return advise(err, "no try is left: ask the administrator to run `keposs admin user unlock %s`", st.User)
	}
	return advise(err, "enter the factors again; %d of %d tries are left", left, st.Profile.Limit)
}
