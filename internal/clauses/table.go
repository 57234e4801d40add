package clauses

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The statuses of a row.
const (
	Tested = "tested" // at least one test shows it
	Open   = "open"   // no test shows it
	Waived = "waived" // set aside by name, with a reason
)

// maxWaivers bounds the rows that are set aside.
const maxWaivers = 12

// A Line is one row of the table.
type Line struct {
	Row
	Code   []string // places, in the order of the scan
	Tests  []string // places of tests, the same
	Status string
	Reason string // of a waiver
}

// Table joins catalog, marks and waivers. The error joins everything that is
// wrong: a mark or waiver of a row the catalog does not have, a waiver of a
// row that a test shows, more than maxWaivers of them.
func Table(rows []Row, marks []Mark, waivers map[string]string) ([]Line, error) {
	var wrong []error
	lines := make([]Line, len(rows))
	at := make(map[string]*Line, len(rows))
	for i, r := range rows {
		lines[i] = Line{Row: r, Status: Open}
		at[r.ID] = &lines[i]
	}
	for _, m := range marks {
		l := at[m.ID]
		if l == nil {
			wrong = append(wrong, fmt.Errorf("%s: the catalog has no row %s", m.Place(), m.ID))
			continue
		}
		to := &l.Code
		if m.Test {
			to, l.Status = &l.Tests, Tested
		}
		if !slices.Contains(*to, m.Place()) {
			*to = append(*to, m.Place())
		}
	}
	for id, reason := range waivers {
		l := at[id]
		switch {
		case l == nil:
			wrong = append(wrong, fmt.Errorf("waivers: the catalog has no row %s", id))
		case l.Status == Tested:
			wrong = append(wrong, fmt.Errorf("waivers: %s is shown by %s: drop the waiver", id, l.Tests[0]))
		default:
			l.Status, l.Reason = Waived, reason
		}
	}
	if len(waivers) > maxWaivers {
		wrong = append(wrong, fmt.Errorf("waivers: %d rows, at most %d", len(waivers), maxWaivers))
	}
	return lines, errors.Join(wrong...)
}

// Count returns how many lines have the status.
func Count(lines []Line, status string) int {
	n := 0
	for _, l := range lines {
		if l.Status == status {
			n++
		}
	}
	return n
}

const head = `# Clauses

Generated from the ` + "`// req:`" + ` annotations of code and tests; do not edit. After adding or removing one:
` + "`go test ./internal/clauses -run TestDocument -update`" + `.

One row for every requirement of T/EMCG 001.3-2019 (K-), of GM/T 0028-2014 as far as the text refers to it
(G-), of the state tables of MST-CC (F-) and SS-CC (S-), of the environment probes (P-), of the decisions
where the text is silent or in conflict (X-), and of the test kit (TK-).

Level: 1 binds levels 1 and 2, 2 binds level 2 only, P is process or document, - is neither. Kind: N the
text demands it, R it refers to it, D decided here. Status: ` + "`tested`" + ` means that each test named shows
the row or a part of it, ` + "`open`" + ` that none does, whatever the code does. The number of open rows may
only shrink (internal/clauses/open.txt).

`

// Render writes the document. The word for a waived row stands in its status
// cell and nowhere else.
func Render(lines []Line) string {
	var b strings.Builder
	b.WriteString(head)
	fmt.Fprintf(&b, "%d rows: %d tested, %d open, %d set aside by name.\n\n",
		len(lines), Count(lines, Tested), Count(lines, Open), Count(lines, Waived))
	b.WriteString("| id | clause | level | kind | what | code | test | status |\n|---|---|---|---|---|---|---|---|\n")
	for _, l := range lines {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", l.ID, l.Clause(), l.Level, l.Kind, l.Title,
			strings.Join(l.Code, ", "), strings.Join(l.Tests, ", "), l.Status)
	}
	b.WriteString("\n## Rows set aside, and why\n\n")
	for _, l := range lines {
		if l.Status == Waived {
			fmt.Fprintf(&b, "- %s: %s.\n", l.ID, l.Reason)
		}
	}
	return b.String()
}
