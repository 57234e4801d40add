package services

import (
	"fmt"
	"slices"
	"strings"
)

const head = `# Roles and services

Generated from internal/services; do not edit. After a change there:
` + "`go test ./internal/services -run TestDocument -update`" + `. The cells are held against the real components by
` + "`go test ./core/mstcc ./core/sscc -run TestServiceMatrix`" + `.

There are exactly two roles (clause 10.1): the **administrator** of SS-CC, who authenticates by password, and the
**user** of the app, who authenticates by PPD for every single service, and towards SS-CC as the bound terminal.
Nobody takes both at one component: MST-CC has no administrator's service, SS-CC no service on a user's keys. No
role is changed into another; each is entered by its own authentication (GM/T 0028 7.4).

`

// Render writes the document.
func Render() string {
	var b strings.Builder
	b.WriteString(head)
	b.WriteString("## Table 1: services by role\n\n| service | where | administrator | user | row |\n|---|---|---|---|---|\n")
	table(&b, Table1, func(s Service) (string, string) {
		if s.By == Administrator {
			return "yes", "no"
		}
		return "no", "yes"
	})
	b.WriteString("\n`encrypt` is the user's service and uses a public key only: no CSP is touched and PPD is not asked for (X-08).\n")
	b.WriteString("\n## Basic services\n\n| service | where | administrator | user | row |\n|---|---|---|---|---|\n")
	b.WriteString("| show version | both | yes | yes | K-10.2-07 |\n")
	table(&b, Basic, func(s Service) (string, string) {
		if s.By == Administrator {
			return "yes", "no"
		}
		return "yes", "yes"
	})
	b.WriteString(`
They touch no CSP and need no role (K-10.2-07), but for zeroisation: the user erases the own terminal, the
administrator the database. ` + "`keposs version`" + ` needs no state.
`)
	matrix(&b, "MST-CC: service × state", Terminal(), TerminalStates(), User,
		"For the user, who enters PPD. Whoever does not is refused where the user is served: `canceled` without an entry,\n`auth` with a wrong one. In SELFTEST, CSP-ENTRY and APPROVED every call waits until the service under way has\nended, so nothing leaves the module there.")
	matrix(&b, "SS-CC: service × state", Server(), ServerStates(), "",
		"For the role in the second column. Others get the code of the last column where that role is served; `-` means that\nno interface reaches the service. SELFTEST answers nobody; in FACTORY the process has not begun.")
	b.WriteString("\n## Logical interfaces\n\nEvery call of the app's interface and every gRPC method, with the logical interfaces of GM/T 0028 7.3.2 it uses.\nThe fetch that MST-CC sends to SS-CC is the only control output.\n")
	ports(&b, "client.Client", API())
	ports(&b, "gRPC", Wire())
	return b.String()
}

func table(b *strings.Builder, p Part, yes func(Service) (a, u string)) {
	for _, part := range []struct {
		name string
		list []Service
	}{{"SS-CC", Server()}, {"MST-CC", Terminal()}} {
		for _, s := range part.list {
			if s.Part == p {
				a, u := yes(s)
				fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", s.Name, part.name, a, u, s.Clause)
			}
		}
	}
}

// matrix writes one component's cells; by = "" shows each service for its role.
func matrix(b *strings.Builder, title string, list []Service, states []string, by Role, note string) {
	fmt.Fprintf(b, "\n## %s\n\n%s\n\n| service | role | %s | others |\n|---|---|%s---|\n", title, note, strings.Join(states, " | "), strings.Repeat("---|", len(states)))
	for _, s := range list {
		fmt.Fprintf(b, "| %s | %s |", s.Name, s.By)
		who := by
		if who == "" {
			who = s.By
		}
		for _, st := range states {
			fmt.Fprintf(b, " %s |", s.Cell(st, who))
		}
		fmt.Fprintf(b, " %s |\n", s.refused)
	}
	b.WriteString("\n")
	for _, s := range list {
		if s.Does != "" {
			fmt.Fprintf(b, "- %s: %s.\n", s.Name, s.Does)
		}
	}
}

func ports(b *strings.Builder, title string, list []Call) {
	all := []Port{DataIn, DataOut, ControlIn, ControlOut, StatusOut}
	fmt.Fprintf(b, "\n| %s | data in | data out | control in | control out | status out |\n|---|---|---|---|---|---|\n", title)
	for _, c := range list {
		fmt.Fprintf(b, "| %s |", c.Name)
		for _, p := range all {
			mark := ""
			if slices.Contains(c.Ports, p) {
				mark = "x"
			}
			fmt.Fprintf(b, " %s |", mark)
		}
		b.WriteString("\n")
	}
}
