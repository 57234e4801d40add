// Package clauses makes docs/clauses.md: one row for every requirement of the
// standard and every decision taken beside it, with the code that does it and
// the tests that show it. Code and tests name a row in a comment of their
// declaration, `// req: K-7.2-06, X-13`; nothing else claims a row.
//
// The table is a file of the repository and a test compares the two: who adds
// or removes an annotation regenerates it, so that the change is seen in
// review. Sources: T/EMCG 001.3-2019 (clauses), GM/T 0028-2014 (rows G-).
package clauses

import (
	_ "embed"
	"fmt"
	"regexp"
	"strings"
)

//go:embed catalog.tsv
var catalogFile string

//go:embed waivers.tsv
var waiversFile string

// A Row is one requirement of the catalog.
type Row struct {
	ID    string // K-7.2-06, G-7.4-05, F-29, S-05, X-13, P-12, TK-01
	Level string // 1 (levels 1 and 2), 2, P (process or document), - (none)
	Kind  string // N demanded by the text, R by reference, D decided here
	Title string // at most eight words
}

// idShape is a whole id. Ids are written out: there are no ranges.
var idShape = regexp.MustCompile(`^(?:[KGXPFS]|TK)-[0-9A-Z][0-9A-Za-z]*(?:[.-][0-9A-Z][0-9A-Za-z]*)*$`)

// maxTitle is the longest title, in words.
const maxTitle = 8

// Catalog returns every row, in the order of the catalog.
func Catalog() ([]Row, error) { return parseCatalog(catalogFile) }

// Waivers returns the reason of each row that is set aside by name.
func Waivers() (map[string]string, error) { return parseWaivers(waiversFile) }

func parseCatalog(text string) ([]Row, error) {
	var rows []Row
	seen := map[string]bool{}
	for n, f := range lines(text) {
		if len(f) != 4 {
			return nil, fmt.Errorf("catalog line %d: %d fields, want id, level, kind, title", n, len(f))
		}
		r := Row{ID: f[0], Level: f[1], Kind: f[2], Title: f[3]}
		switch {
		case !idShape.MatchString(r.ID):
			return nil, fmt.Errorf("catalog line %d: %q is not shaped like an id", n, r.ID)
		case seen[r.ID]:
			return nil, fmt.Errorf("catalog line %d: %s stands twice", n, r.ID)
		case !strings.Contains("12P-", r.Level) || len(r.Level) != 1:
			return nil, fmt.Errorf("catalog line %d: %s: level %q, want 1, 2, P or -", n, r.ID, r.Level)
		case !strings.Contains("NRD", r.Kind) || len(r.Kind) != 1:
			return nil, fmt.Errorf("catalog line %d: %s: kind %q, want N, R or D", n, r.ID, r.Kind)
		case r.Title == "" || len(strings.Fields(r.Title)) > maxTitle || strings.Contains(r.Title, "|"):
			return nil, fmt.Errorf("catalog line %d: %s: want a title of 1 to %d words without |", n, r.ID, maxTitle)
		}
		seen[r.ID] = true
		rows = append(rows, r)
	}
	return rows, nil
}

func parseWaivers(text string) (map[string]string, error) {
	out := map[string]string{}
	for n, f := range lines(text) {
		if len(f) != 2 || f[1] == "" {
			return nil, fmt.Errorf("waivers line %d: want id and reason", n)
		}
		if out[f[0]] != "" {
			return nil, fmt.Errorf("waivers line %d: %s stands twice", n, f[0])
		}
		out[f[0]] = f[1]
	}
	return out, nil
}

// lines yields the number and the tab-separated fields of each line that is
// neither empty nor a comment.
func lines(text string) func(yield func(int, []string) bool) {
	return func(yield func(int, []string) bool) {
		for i, l := range strings.Split(text, "\n") {
			if l == "" || strings.HasPrefix(l, "#") {
				continue
			}
			if !yield(i+1, strings.Split(l, "\t")) {
				return
			}
		}
	}
}

// Clause names the part of the source the row belongs to.
func (r Row) Clause() string {
	family, rest, _ := strings.Cut(r.ID, "-")
	switch family {
	case "K":
		clause, _, _ := strings.Cut(rest, "-")
		if clause == "A" {
			return "annex A"
		}
		return strings.TrimSuffix(clause, ".D")
	case "G":
		clause, _, _ := strings.Cut(rest, "-")
		return "GM/T 0028 " + clause
	case "F":
		return "17.3 (MST-CC)"
	case "S":
		return "17.3 (SS-CC)"
	case "P":
		return "probe"
	case "X":
		return "decision"
	}
	return "test kit"
}
