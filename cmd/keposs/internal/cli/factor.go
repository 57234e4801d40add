package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/client"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mf"
)

func factorCommands(e *Env) []*cobra.Command {
	return []*cobra.Command{
		group("factor", "List, change, add and remove the factors of a key",
			"  keposs factor list\n  keposs factor change pin\n  keposs factor add face --policy 'pin & (gesture | face)'",
			factorListCommand(e), factorChangeCommand(e), factorAddCommand(e), factorRemoveCommand(e)),
	}
}

// policyView is what `keposs policy show --json` prints.
type policyView struct {
	Policy   string       `json:"policy"`
	Ways     [][]string   `json:"ways"`
	Mode     string       `json:"mode"`
	KDF      string       `json:"kdf"`
	Root     string       `json:"root"`
	Epoch    uint64       `json:"epoch"`
	MKGen    uint64       `json:"generation"`
	Anchor   []string     `json:"anchor"`
	Recovery bool         `json:"recovery"`
	Factors  []factorView `json:"factors"`
}

// factorView is one factor of it.
type factorView struct {
	Label   string  `json:"label"`
	Source  string  `json:"source"`
	Kind    string  `json:"kind"`
	Format  uint32  `json:"format"`
	Rev     uint32  `json:"revision"`
	PerTry  float64 `json:"per_try_bits"`
	Offline float64 `json:"offline_bits"`
	Box     bool    `json:"box"` // kept sealed, so that other factors change without it
}

func viewOf(p *mf.Policy) policyView {
	v := policyView{Policy: p.Tree.String(), Ways: p.Tree.MinimalSets(), Mode: p.Escrow.Mode.String(), KDF: p.KDF.String(),
		Root: p.Root.String(), Epoch: p.Epoch, MKGen: p.MKGen, Recovery: p.Holder(mf.RecoveryHolder) != nil}
	for _, h := range p.Anchor {
		v.Anchor = append(v.Anchor, h.ID+" ("+h.Kind.String()+")")
	}
	for _, f := range p.Factors {
		v.Factors = append(v.Factors, factorView{Label: f.ID, Source: f.Source, Kind: f.Kind.String(), Format: f.Format, Rev: f.Rev,
			PerTry: float64(f.PerTry) / 1000, Offline: float64(f.Offline) / 1000, Box: len(f.Box) > 0})
	}
	return v
}

func (v policyView) print(w io.Writer) {
	fmt.Fprintf(w, "policy   %s\n", v.Policy)
	for i, way := range v.Ways {
		fmt.Fprintf(w, "way %-4d %s\n", i+1, strings.Join(way, " & "))
	}
	fmt.Fprintf(w, "mode     %s; kdf %s; root %s\n", v.Mode, v.KDF, v.Root)
	fmt.Fprintf(w, "anchor   %s\n", strings.Join(v.Anchor, ", "))
	if !v.Recovery {
		fmt.Fprintln(w, "         no recovery code: losing this terminal loses the key; `keposs recovery create` makes one")
	}
	fmt.Fprintf(w, "state    generation %d, change %d\n", v.MKGen, v.Epoch)
	v.printFactors(w)
}

func (v policyView) printFactors(w io.Writer) {
	for _, f := range v.Factors {
		box := ""
		if f.Box {
			box = "; kept in a box"
		}
		fmt.Fprintf(w, "%-8s %s, %s, revision %d: one random try passes with probability 2^-%.1f%s\n", f.Label, f.Source, f.Kind, f.Rev, f.PerTry, box)
	}
}

// show is a command that prints the policy in force.
func showCommand(e *Env, use, short string, print func(policyView, io.Writer)) *cobra.Command {
	var s session
	name, _, _ := strings.Cut(use, " ")
	c := &cobra.Command{
		Use: use, Short: short, Args: noArgs,
		Example: map[string]string{"show": "  keposs policy show\n  keposs policy show --json", "list": "  keposs factor list"}[name],
		RunE: func(c *cobra.Command, _ []string) error {
			return s.with(c.Context(), e, func(cl *client.Client) error {
				p, err := cl.Policy(c.Context())
				if err != nil {
					return err
				}
				v := viewOf(p)
				return e.Report(v, func(w io.Writer) { print(v, w) })
			})
		},
	}
	s.register(c)
	return c
}

func policyShowCommand(e *Env) *cobra.Command {
	return showCommand(e, "show", "Show the policy in force, checked against what this terminal remembers; asks for nothing", policyView.print)
}

func factorListCommand(e *Env) *cobra.Command {
	return showCommand(e, "list", "List the factors of the policy in force; asks for nothing", policyView.printFactors)
}

// changeFlags are what the three changes share.
type changeFlags struct {
	session
	params []string
	plan   bool
	revoke bool
	sheet  sheetFlags
}

func (f *changeFlags) register(c *cobra.Command) {
	f.session.register(c)
	c.Flags().StringArrayVar(&f.params, "param", nil, "setting of a factor's enrolment as `label:name=value`; may be repeated")
	c.Flags().BoolVar(&f.plan, "plan", false, "say what would be asked, and do nothing")
	c.Flags().BoolVar(&f.revoke, "revoke", false, "go on where the rules make it a revoke: every factor is captured again")
	f.sheet.register(c)
}

// changed is what a change prints.
type changed struct {
	Done     string       `json:"done"` // change, revoke or recovery
	Policy   string       `json:"policy"`
	Epoch    uint64       `json:"epoch"`
	MKGen    uint64       `json:"generation"`
	Recovery bool         `json:"recovery"`
	Approved bool         `json:"approved"`
	Plan     *client.Plan `json:"plan,omitempty"`
}

func (e *Env) reportChange(done string, r *client.Changed, plan *client.Plan, approved bool) error {
	v := changed{Done: done, Policy: r.Policy, Epoch: r.Epoch, MKGen: r.MKGen, Recovery: r.Recovery, Approved: r.Approved && approved, Plan: plan}
	return e.Report(v, func(w io.Writer) {
		fmt.Fprintf(w, "policy   %s\n", v.Policy)
		fmt.Fprintf(w, "state    generation %d, change %d\n", v.MKGen, v.Epoch)
		if done == "revoke" {
			fmt.Fprintln(w, "Whatever was copied from this terminal before, and every earlier sheet, opens nothing now.")
		}
		if !v.Recovery {
			fmt.Fprintln(w, "There is no recovery code: losing this terminal loses the key.")
		}
	})
}

// run makes a request, says what it will ask, and does it.
func (f *changeFlags) run(ctx context.Context, e *Env, request func(*client.Client) (client.ChangeRequest, error)) error {
	params, err := parseParams(f.params)
	if err != nil {
		return err
	}
	return f.with(ctx, e, func(cl *client.Client) error {
		r, err := request(cl)
		if err != nil {
			return err
		}
		r.Params, r.Factors = params, f.factors
		plan, err := cl.PlanChange(ctx, r)
		if err != nil {
			return err
		}
		if f.plan {
			return e.Report(plan, func(w io.Writer) { printPlan(w, plan) })
		}
		printPlan(e.Stderr, plan)
		if !plan.Revoke && f.sheet.out != "" {
			return usagef("factor", "this change keeps the anchor and makes no sheet: leave --sheet out, or run keposs recovery create")
		}
		if !plan.Revoke {
			got, err := cl.Change(ctx, r)
			if err != nil {
				return err
			}
			return e.reportChange("change", got, &plan, !f.ppd.given())
		}
		if !f.revoke {
			return advise(core.Errorf(core.State, "factor", "%s", plan.Why), "add --revoke to capture every factor again under a new generation")
		}
		return f.revokeAs(ctx, e, cl, client.RevokeRequest{Policy: r.Policy, KDF: r.KDF, Params: params, Factors: f.factors}, &plan)
	})
}

// revokeAs runs a revoke with the sheet the flags ask for.
func (f *changeFlags) revokeAs(ctx context.Context, e *Env, cl *client.Client, r client.RevokeRequest, plan *client.Plan) error {
	var err error
	if r.Sheet, err = f.sheet.show(e); err != nil {
		return err
	}
	got, err := cl.Revoke(ctx, r)
	if err != nil {
		return err
	}
	return e.reportChange("revoke", got, plan, !f.ppd.given())
}

// printPlan says beforehand what a change asks for.
func printPlan(w io.Writer, p client.Plan) {
	fmt.Fprintf(w, "afterwards  %s; kdf %s\n", p.Policy, p.KDF)
	if p.Revoke {
		fmt.Fprintf(w, "revoke      %s\n", p.Why)
	}
	fmt.Fprintf(w, "asks first  %s, to open the policy\n", strings.Join(p.Open, " and "))
	for _, how := range []string{"enter", "enrol", "nothing"} {
		for _, n := range p.Needs {
			if n.How != how {
				continue
			}
			word := map[string]string{"enter": "then", "enrol": "enrols anew", "nothing": "not asked"}[how]
			fmt.Fprintf(w, "%-11s %s (%s)\n", word, n.Label, n.Why)
		}
	}
}

func factorChangeCommand(e *Env) *cobra.Command {
	var f changeFlags
	var tree, kdf string
	c := &cobra.Command{
		Use:   "change [LABEL...]",
		Short: "Enrol factors again, set the policy, raise the KDF's cost",
		Long: `Enrol the named factors again, set another policy, or raise the KDF's cost, as one
transaction. Says beforehand which factors it will ask for; enrolled fingers and
faces are not presented again. Interrupted anywhere, exactly one of the old and
the new opens; run any command to settle it.

What takes a way to open away from the factors that stay, and every change of a
policy with one way only, must run as a revoke: --revoke.`,
		Example: `  keposs factor change pin
  keposs factor change pin --plan
  keposs factor change --policy '2 of (pin, gesture, face)'
  keposs factor change --kdf 'pbkdf2sm3$i=1200000'`,
		RunE: func(c *cobra.Command, labels []string) error {
			if len(labels) == 0 && tree == "" && kdf == "" {
				return usagef("factor change", "want the labels to enrol again, --policy or --kdf")
			}
			return f.run(c.Context(), e, func(*client.Client) (client.ChangeRequest, error) {
				return client.ChangeRequest{Replace: labels, Policy: tree, KDF: kdf}, nil
			})
		},
	}
	f.register(c)
	c.Flags().StringVar(&tree, "policy", "", "the new factor policy `text`")
	c.Flags().StringVar(&kdf, "kdf", "", "the same KDF at a higher cost, as `name$key=n,…`")
	return c
}

func factorAddCommand(e *Env) *cobra.Command {
	var f changeFlags
	var tree string
	c := &cobra.Command{
		Use:   "add LABEL",
		Short: "Add a factor to the policy",
		Example: `  keposs factor add face --policy 'pin & (gesture | face)'
  keposs factor add pin:work --policy '2 of (pin, gesture, pin:work)' --plan`,
		Args: exactly(1, "one LABEL"),
		RunE: func(c *cobra.Command, args []string) error {
			if tree == "" {
				return usagef("factor add", "say with --policy what the policy with %s shall be", args[0])
			}
			return f.run(c.Context(), e, func(cl *client.Client) (r client.ChangeRequest, err error) {
				p, err := cl.Policy(c.Context())
				if err == nil && p.Factor(args[0]) != nil {
					err = usagef("factor add", "%s is a factor already; `keposs factor change %s` enrols it again", args[0], args[0])
				}
				if err == nil && !slices.Contains(labelsOf(tree), args[0]) {
					err = usagef("factor add", "the policy %q does not name %s", tree, args[0])
				}
				return client.ChangeRequest{Policy: tree}, err
			})
		},
	}
	f.register(c)
	c.Flags().StringVar(&tree, "policy", "", "the new factor policy `text`, with the new factor in it")
	return c
}

// labelsOf lists the names of a policy text; what does not parse is refused
// later, with its position.
func labelsOf(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\n&|(),", r) })
}

func factorRemoveCommand(e *Env) *cobra.Command {
	var f changeFlags
	c := &cobra.Command{
		Use:   "remove LABEL",
		Short: "Remove a factor from the policy",
		Long: `Remove a factor: where all or any of several are asked the rest goes on without
it, and of "k of n" at most n-1 are asked. The plan shows the policy that is left;
"keposs factor change --policy" sets any other.`,
		Example: "  keposs factor remove face\n  keposs factor remove face --plan",
		Args:    exactly(1, "one LABEL"),
		RunE: func(c *cobra.Command, args []string) error {
			return f.run(c.Context(), e, func(cl *client.Client) (client.ChangeRequest, error) {
				p, err := cl.Policy(c.Context())
				if err != nil {
					return client.ChangeRequest{}, err
				}
				t, err := p.Tree.Without(args[0])
				if err != nil {
					return client.ChangeRequest{}, err
				}
				return client.ChangeRequest{Policy: t.String()}, nil
			})
		},
	}
	f.register(c)
	return c
}
