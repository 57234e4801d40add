package clauses

import (
	"fmt"
	"strings"
	"testing"
)

func rowsOf(ids ...string) (rows []Row) {
	for _, id := range ids {
		rows = append(rows, Row{ID: id, Level: "1", Kind: "N", Title: "what it says"})
	}
	return rows
}

// tableOf scans the sample and makes its table.
func tableOf(t *testing.T, code, test string) string {
	t.Helper()
	marks, err := Scan(tree(code, test))
	if err != nil {
		t.Fatal(err)
	}
	lines, err := Table(rowsOf("K-8.1-01", "K-7.2-06", "K-7.2-07", "X-13", "G-7.4-05", "TK-12", "K-A-01"), marks, map[string]string{"K-A-01": "later"})
	if err != nil {
		t.Fatal(err)
	}
	return Render(lines)
}

// A line of the table says all, and a removed annotation is seen in it.
// req: TK-11
func TestRemovedAnnotationChangesTheTable(t *testing.T) {
	whole := tableOf(t, sample, sampleTest)
	for _, want := range []string{
		"7 rows: 2 tested, 4 open, 1 set aside by name.",
		"| K-7.2-06 | 7.2 | 1 | N | what it says | p/a.Module.Sign | p/a.TestSign | tested |",
		"| X-13 | decision | 1 | N | what it says | p/a.Module.Sign |  | open |",
		"| K-A-01 | annex A | 1 | N | what it says |  |  | waived |",
		"- K-A-01: later.",
	} {
		if !strings.Contains(whole, want) {
			t.Errorf("want %q in\n%s", want, whole)
		}
	}
	for _, gone := range []string{"// req: K-7.2-06\n", "// req: TK-12\n"} {
		if tableOf(t, sample, strings.Replace(sampleTest, gone, "", 1)) == whole {
			t.Errorf("the table is the same without %q", gone)
		}
	}
	for _, gone := range []string{"// req: K-8.1-01\n", ", X-13", "\t// req: K-7.2-07\n", "\t// req: G-7.4-05\n"} {
		if tableOf(t, strings.Replace(sample, gone, "", 1), sampleTest) == whole {
			t.Errorf("the table is the same without %q", gone)
		}
	}
}

// req: TK-11
func TestTableRefuses(t *testing.T) {
	rows := rowsOf("K-7.2-06", "K-A-01")
	test := Mark{ID: "K-7.2-06", Dir: "p/a", Name: "TestSign", Test: true}
	many := map[string]string{}
	for i := range maxWaivers + 1 {
		id := fmt.Sprintf("X-%02d", i)
		many[id], rows = "later", append(rows, rowsOf(id)...)
	}
	for name, c := range map[string]struct {
		marks   []Mark
		waivers map[string]string
		want    string
	}{
		"unknown id":        {[]Mark{{ID: "K-7.2-99", Dir: "p/a", Name: "TestSign", Test: true}}, nil, "p/a.TestSign: the catalog has no row K-7.2-99"},
		"unknown waiver":    {nil, map[string]string{"K-A-99": "later"}, "waivers: the catalog has no row K-A-99"},
		"waiver and a test": {[]Mark{test}, map[string]string{"K-7.2-06": "later"}, "is shown by p/a.TestSign"},
		"too many waivers":  {nil, many, "13 rows, at most 12"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Table(rows, c.marks, c.waivers); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestCatalogRefuses(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"fields": {"K-1-01\t1\tN\n", "line 1: 3 fields"},
		"id":     {"K7\t1\tN\ta\n", "not shaped like an id"},
		"twice":  {"K-1-01\t1\tN\ta\n# note\nK-1-01\t1\tN\ta\n", "line 3: K-1-01 stands twice"},
		"level":  {"K-1-01\t3\tN\ta\n", "level"},
		"kind":   {"K-1-01\t1\tQ\ta\n", "kind"},
		"title":  {"K-1-01\t1\tN\ta b c d e f g h i\n", "title"},
		"bar":    {"K-1-01\t1\tN\ta|b\n", "title"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := parseCatalog(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
	for _, bad := range []string{"K-A-01\n", "K-A-01\t\n", "K-A-01\ta\nK-A-01\tb\n"} {
		if _, err := parseWaivers(bad); err == nil {
			t.Errorf("waivers %q pass", bad)
		}
	}
}

// Every row of the catalog has its place in the source.
func TestClause(t *testing.T) {
	for id, want := range map[string]string{
		"K-5.3-01a": "5.3", "K-7.D-ENC": "7", "K-7.1-D1": "7.1", "K-10.2.3-01": "10.2.3", "K-12.1-L2a": "12.1", "K-A-02a": "annex A",
		"G-7.4-05": "GM/T 0028 7.4", "F-29": "17.3 (MST-CC)", "S-05": "17.3 (SS-CC)", "P-12": "probe", "X-13": "decision", "TK-01": "test kit",
	} {
		if got := (Row{ID: id}).Clause(); got != want {
			t.Errorf("%s: %q, want %q", id, got, want)
		}
	}
}
