package states

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/sscc"
	"github.com/keposs/keposs/internal/clauses"
	"github.com/keposs/keposs/internal/testenv"
)

var update = flag.Bool("update", false, "write docs/states.md")

// The document is what the tables say.
// req: G-7.11-03, K-17.3-00, TK-05
func TestDocument(t *testing.T) {
	root := os.DirFS(testenv.Root())
	terminal, err := Fired(root, "core/mstcc")
	if err != nil {
		t.Fatal(err)
	}
	server, err := Fired(root, "core/sscc")
	if err != nil {
		t.Fatal(err)
	}
	if len(terminal) < 15 || len(server) < 15 {
		t.Fatalf("found %d and %d events fired: the search looks in the wrong place", len(terminal), len(server))
	}
	testenv.Document(t, *update, "states.md", Render(terminal, server), "go test ./internal/states -run TestDocument -update")
}

// The tables have the rows the catalog has, no more and no fewer.
// req: TK-05
func TestTablesAreTheCatalogs(t *testing.T) {
	catalog, err := clauses.Catalog()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, r := range catalog {
		if strings.HasPrefix(r.ID, "F-") || strings.HasPrefix(r.ID, "S-") {
			want[r.ID] = r.Title
		}
	}
	delete(want, "S-33") // two variables, not a transition: sscc's TestTwoRegions
	for _, r := range append(Terminal(), Server()...) {
		title := r.Label()
		switch r.ID {
		case "X-08": // the row a policy adds
			continue
		case "S-32":
			title = "any other state: " + r.Event + " → " + r.To
		}
		if have, ok := want[r.ID]; ok && have != title {
			t.Errorf("%s: table %q, catalog %q", r.ID, title, have)
		} else if !ok && r.ID != "S-32" {
			t.Errorf("%s: %q is not in the catalog", r.ID, title)
		}
		delete(want, r.ID)
	}
	for id, title := range want {
		t.Errorf("%s: %q has no row in a table", id, title)
	}
}

// Every state of the machines is described, in the document and its diagram.
// req: G-7.11-03
func TestEveryStateIsDescribed(t *testing.T) {
	var have, want []string
	for _, s := range mstcc.States() {
		want = append(want, string(s))
	}
	for _, s := range sscc.States() {
		want = append(want, string(s))
	}
	for _, a := range append(append([]about{}, terminalStates...), serverStates...) {
		have = append(have, a.state)
	}
	if strings.Join(have, " ") != strings.Join(want, " ") {
		t.Errorf("described %v\nmachines %v", have, want)
	}
}

// What the diagram draws is what the table holds: as many labels as rows.
// req: G-7.11-03
func TestDiagramHoldsEveryRow(t *testing.T) {
	for name, rows := range map[string][]Row{"MST-CC": Terminal(), "SS-CC": Server()} {
		n := 0
		for _, e := range edges(rows) {
			n += len(e.labels)
			if strings.ContainsAny(node(e.from)+node(e.to), "- ") {
				t.Errorf("%s: %s → %s is no name of the diagram's language", name, e.from, e.to)
			}
		}
		if n != len(rows) {
			t.Errorf("%s: %d labels for %d rows", name, n, len(rows))
		}
	}
}
