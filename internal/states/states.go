// Package states makes docs/states.md, the finite state model of both
// components (clause 17.3, GM/T 0028 7.11.4): diagram, states and transitions,
// all from the tables the machines run on.
package states

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/sscc"
)

// A Row is one transition of either table.
type Row struct {
	ID, From, Event, Guard, To, Action string
}

// Label names the transition as the catalog does: "FROM: event → TO".
func (r Row) Label() string { return r.From + ": " + r.Event + " → " + r.To }

// Terminal returns the table of MST-CC.
func Terminal() (rows []Row) {
	for _, t := range mstcc.Table {
		rows = append(rows, Row{t.ID, string(t.From), string(t.Event), string(t.Guard), string(t.To), t.Action})
	}
	return rows
}

// Server returns the table of SS-CC.
func Server() (rows []Row) {
	for _, t := range sscc.Table {
		rows = append(rows, Row{t.ID, string(t.From), string(t.Event), string(t.Guard), string(t.To), t.Action})
	}
	return rows
}

// A state's line: what it is and what may leave the component in it.
type about struct{ state, is, output string }

const statusOnly = "status only"

var terminalStates = []about{
	{"OFF", "not running", "nothing"},
	{"FACTORY", "installed, never used; no SSP exists", statusOnly},
	{"SELFTEST", "self-tests run: known answers, integrity, environment, generator", statusOnly},
	{"INIT", "no user is bound; initialisation runs from here", "the sealed key to SS-CC, user id and P_M at its end"},
	{"USER", "a user is bound, services may be requested", "data"},
	{"CSP-ENTRY", "PPD is being entered", "the authenticated fetch to SS-CC, after entry has ended"},
	{"APPROVED", "one approved service runs under one grant", "data"},
	{"LOCKED", "the wrong entries reached the limit", statusOnly},
	{"ERROR", "a test failed or a fault occurred; keys are wiped", statusOnly},
	{"EOL", "life has ended; nothing secret is left", statusOnly},
}

var serverStates = []about{
	{"OFF", "not running", "nothing"},
	{"FACTORY", "installed, no administrator, no database", statusOnly},
	{"SELFTEST", "self-tests run; peers are told to wait", statusOnly},
	{"INIT", "waits for the administrator's first password", statusOnly},
	{"SEALED", "the store key is not in memory; peers are refused", statusOnly},
	{"CSP-ENTRY", "the administrator's password is being entered (officer region)", "what the serving region allows"},
	{"ADMIN", "an administrator is logged in (officer region)", "answers to administration"},
	{"LOCKED", "wrong passwords reached the limit (officer region)", "what the serving region allows"},
	{"SERVING", "the store is open, peers may call", "data"},
	{"APPROVED", "at least one peer's request runs", "data"},
	{"ERROR", "a test failed or a fault occurred; the store key is wiped", statusOnly},
	{"EOL", "decommissioned; the store key is destroyed", statusOnly},
}

const head = `# State model

Generated from core/mstcc/table.go and core/sscc/table.go; do not edit. After a change of a table:
` + "`go test ./internal/states -run TestDocument -update`" + `.

Clause 17.3 of T/EMCG 001.3-2019 names eight states; OFF, EOL and, for SS-CC, SEALED, ADMIN and SERVING are
added so that power-off, end of life and the administrator have a place (GM/T 0028 7.11.4). The machines run
on these tables and on nothing else. A request that has no row for the present state is refused with the code
` + "`state`" + ` and changes nothing. Each row is fired by a test of its package (` + "`TestEveryRow`" + `); the graph checks
(` + "`TestGraph`, `TestGrantProduct`" + `) show that every state is reached and reaches OFF, that APPROVED is entered
from USER only, never without a self-test and never without a grant, and that ERROR leads to SELFTEST, OFF and
EOL only.
`

var (
	firing  = regexp.MustCompile(`\bFire\((Ev\w+),`)
	eventIs = regexp.MustCompile(`(?m)^\t(Ev\w+)\s+Event = "([^"]+)"`)
)

// Fired returns the events that the code of a package fires, tests aside.
func Fired(root fs.FS, dir string) (map[string]bool, error) {
	entries, err := fs.ReadDir(root, dir)
	if err != nil {
		return nil, err
	}
	names, used := map[string]string{}, map[string]bool{}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		src, err := fs.ReadFile(root, path.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		for _, m := range eventIs.FindAllStringSubmatch(string(src), -1) {
			names[m[1]] = m[2]
		}
		for _, m := range firing.FindAllStringSubmatch(string(src), -1) {
			used[m[1]] = true
		}
	}
	out := map[string]bool{}
	for ident := range used {
		out[names[ident]] = true
	}
	return out, nil
}

// Render writes the document; terminal and server are the events each fires.
func Render(terminal, server map[string]bool) string {
	var b strings.Builder
	b.WriteString(head)
	section(&b, "MST-CC, the terminal", terminalStates, Terminal(), terminal,
		"PPD accepted gives a grant to one request; F-19 needs it, and it ends with that service. Row X-08 exists\nfor the policy `verify: open`: verification with a caller's key uses no CSP and takes no grant.")
	section(&b, "SS-CC, the server", serverStates, Server(), server,
		"The officer region (CSP-ENTRY, ADMIN, LOCKED) and the serving region (all others) are separate variables\n(S-33): an administrator who logs in, errs or is locked out does not stop serving. `unseal` is S-08, S-09 and\nS-14 in one command. S-32 stands for one row per state.")
	return b.String()
}

func section(b *strings.Builder, title string, states []about, rows []Row, fired map[string]bool, note string) {
	fmt.Fprintf(b, "\n## %s\n\n%s\n\n", title, note)
	b.WriteString("```mermaid\nstateDiagram-v2\n")
	for _, s := range states {
		fmt.Fprintf(b, "    state %q as %s\n", s.state, node(s.state))
	}
	for _, e := range edges(rows) {
		fmt.Fprintf(b, "    %s --> %s: %s\n", node(e.from), node(e.to), strings.Join(e.labels, ", "))
	}
	b.WriteString("```\n\n| state | what it is | may leave the component |\n|---|---|---|\n")
	for _, s := range states {
		fmt.Fprintf(b, "| %s | %s | %s |\n", s.state, s.is, s.output)
	}
	b.WriteString("\n| row | from | event | if | to | does |\n|---|---|---|---|---|---|\n")
	for _, r := range rows {
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s |\n", r.ID, r.From, r.Event, r.Guard, r.To, r.Action)
	}
	var rest []string
	for _, r := range rows {
		if !fired[r.Event] {
			rest = append(rest, r.ID+" "+r.Event)
		}
	}
	if len(rest) > 0 {
		fmt.Fprintf(b, "\nThe machine has these rows, and no code of the component fires their event: %s.\n", strings.Join(rest, ", "))
	}
}

type edge struct {
	from, to string
	labels   []string
}

// edges gathers the rows between the same two states, in the table's order.
func edges(rows []Row) (out []edge) {
	at := map[[2]string]int{}
	for _, r := range rows {
		k := [2]string{r.From, r.To}
		i, ok := at[k]
		if !ok {
			i = len(out)
			at[k], out = i, append(out, edge{from: r.From, to: r.To})
		}
		out[i].labels = append(out[i].labels, r.ID+" "+r.Event)
	}
	return out
}

// node is a state's name as the diagram's language allows it.
func node(state string) string { return strings.ReplaceAll(state, "-", "_") }
