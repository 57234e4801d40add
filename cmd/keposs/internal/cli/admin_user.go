package cli

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sscc"
)

// A table is aligned columns for a person.
type table struct{ w *tabwriter.Writer }

func newTable(w io.Writer, heads ...any) *table {
	t := &table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	t.row(heads...)
	return t
}

func (t *table) row(cells ...any) {
	for i, c := range cells {
		if i > 0 {
			fmt.Fprint(t.w, "\t")
		}
		fmt.Fprint(t.w, c)
	}
	fmt.Fprintln(t.w)
}

func (t *table) end() { _ = t.w.Flush() }

func pickText(yes bool, a, b string) string {
	if yes {
		return a
	}
	return b
}

func adminUser(e *Env) *cobra.Command {
	return group("user", "List, show, lock, unlock, unbind and remove users", "  keposs admin user list\n  keposs admin user unlock USER",
		adminUserList(e), adminUserShow(e),
		adminUserChange(e, "lock", "Lock a user: no try is answered until unlock", "locked",
			func(a *administrator) func(context.Context, protocol.ID, protocol.ID) error { return a.LockUser }),
		adminUserChange(e, "unlock", "Unlock a user: the count of tries begins again at 0", "unlocked",
			func(a *administrator) func(context.Context, protocol.ID, protocol.ID) error { return a.UnlockUser }),
		adminUserChange(e, "unbind", "Unbind a user's terminal: the sealed key is destroyed, the terminal may initialise a new user", "unbound",
			func(a *administrator) func(context.Context, protocol.ID, protocol.ID) error { return a.UnbindUser }),
		adminUserChange(e, "remove", "Remove a user: the sealed key is destroyed, for good, and the terminal's life ends", "removed",
			func(a *administrator) func(context.Context, protocol.ID, protocol.ID) error { return a.RemoveUser }))
}

// userResult is a user in --json. Nothing of a key is in it.
type userResult struct {
	App     string `json:"app"`
	ID      string `json:"id"`
	State   string `json:"state"`
	Mode    string `json:"mode"`
	Gen     uint64 `json:"generation"`
	Used    uint32 `json:"tries_used"`
	Limit   uint32 `json:"tries_limit"`
	Unlocks uint64 `json:"unlocks"`
	Device  string `json:"device"`
	LastTry string `json:"last_try"`
}

func userOf(u sscc.UserInfo) userResult {
	return userResult{u.App.String(), u.ID.String(), u.State, u.Mode.String(), u.Gen, u.Used, u.Limit, u.UnlockSeq, u.Device.String(), when(u.LastTry)}
}

// userPage is how many users one request asks for.
const userPage = 256

func adminUserList(e *Env) *cobra.Command {
	var most int
	var after string
	c := &cobra.Command{
		Use:   "list",
		Short: "List the users",
		Example: `  keposs admin user list
  keposs admin user list --most 10000 --after NEXT --json`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			const op = "admin user list"
			if most < 1 || most > 100_000 {
				return usagef(op, "--most %d, want 1 to 100000", most)
			}
			from, err := hex.DecodeString(after)
			if err != nil {
				return usagef(op, "--after: want what an earlier list gave as next")
			}
			return e.withAdmin(c.Context(), op, func(ctx context.Context, a *administrator) error {
				out := struct {
					Users []userResult `json:"users"`
					Next  string       `json:"next,omitempty"`
				}{Users: []userResult{}}
				for len(out.Users) < most {
					page, next, err := a.Users(ctx, from, min(userPage, most-len(out.Users)))
					if err != nil {
						return err
					}
					for _, u := range page {
						out.Users = append(out.Users, userOf(u))
					}
					out.Next, from = hex.EncodeToString(next), next
					if next == nil {
						break
					}
				}
				return e.Report(out, func(w io.Writer) {
					t := newTable(w, "USER", "APP", "STATE", "MODE", "TRIES", "LAST TRY")
					for _, u := range out.Users {
						t.row(u.ID, u.App, u.State, u.Mode, fmt.Sprintf("%d of %d", u.Used, u.Limit), u.LastTry)
					}
					t.end()
					if out.Next != "" {
						fmt.Fprintf(w, "more: --after %s\n", out.Next)
					}
				})
			})
		},
	}
	c.Flags().IntVar(&most, "most", 1000, "`count` of users to list")
	c.Flags().StringVar(&after, "after", "", "go on where an earlier list ended")
	return c
}

func adminUserShow(e *Env) *cobra.Command {
	return &cobra.Command{
		Use: "show USER", Short: "Show one user", Example: "  keposs admin user show USER --json", Args: exactly(1, "one USER"),
		RunE: func(c *cobra.Command, args []string) error {
			const op = "admin user show"
			user, err := idArg(op, "user", args[0])
			if err != nil {
				return err
			}
			return e.withAdmin(c.Context(), op, func(ctx context.Context, a *administrator) error {
				i, err := a.FindUser(ctx, user)
				if err != nil {
					return err
				}
				u := userOf(i)
				return e.Report(u, func(w io.Writer) {
					fmt.Fprintf(w, "user     %s\napp      %s\ndevice   %s\nstate    %s\nmode     %s, generation %d\ntries    %d of %d used, unlocked %d times\nlast try %s\n",
						u.ID, u.App, u.Device, u.State, u.Mode, u.Gen, u.Used, u.Limit, u.Unlocks, u.LastTry)
				})
			})
		},
	}
}

// adminUserChange is a command that finds a user and changes them.
func adminUserChange(e *Env, name, short, past string, do func(*administrator) func(context.Context, protocol.ID, protocol.ID) error) *cobra.Command {
	return &cobra.Command{
		Use: name + " USER", Short: short, Example: "  keposs admin user " + name + " USER", Args: exactly(1, "one USER"),
		RunE: func(c *cobra.Command, args []string) error {
			op := "admin user " + name
			user, err := idArg(op, "user", args[0])
			if err != nil {
				return err
			}
			return e.withAdmin(c.Context(), op, func(ctx context.Context, a *administrator) error {
				i, err := a.FindUser(ctx, user)
				if err != nil {
					return err
				}
				if err := do(a)(ctx, i.App, user); err != nil {
					return err
				}
				return e.reportDone(done{name, i.App.String(), user.String()}, past+" "+user.String())
			})
		},
	}
}
