package clauses

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/keposs/keposs/internal/testenv"
)

var update = flag.Bool("update", false, "write docs/clauses.md and lower the bound on open rows")

// boundFile holds the most rows that may be open. -update only lowers it.
const boundFile = "open.txt"

func document() string { return filepath.Join(testenv.Root(), "docs", "clauses.md") }

// real reads this repository.
func real(t *testing.T) ([]Row, []Mark, map[string]string) {
	t.Helper()
	rows, err := Catalog()
	if err != nil {
		t.Fatal(err)
	}
	waivers, err := Waivers()
	if err != nil {
		t.Fatal(err)
	}
	marks, err := Scan(os.DirFS(testenv.Root()))
	if err != nil {
		t.Fatal(err)
	}
	return rows, marks, waivers
}

// The document is what the annotations say, and open rows do not grow.
// req: TK-11, K-17.2-00, G-7.11-02
func TestDocument(t *testing.T) {
	lines, err := Table(real(t))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(boundFile)
	if err != nil {
		t.Fatal(err)
	}
	bound, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	open := Count(lines, Open)
	if *update && open < bound {
		if err := os.WriteFile(boundFile, []byte(strconv.Itoa(open)+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	testenv.Document(t, *update, "clauses.md", Render(lines), "go test ./internal/clauses -run TestDocument -update")
	if open > bound {
		t.Errorf("%d rows are open, at most %d may be: show the rows that lost their test", open, bound)
	}
}

// The word stands in status cells only, at most twelve times.
// req: TK-11
func TestSetAsideInItsCellOnly(t *testing.T) {
	text, err := os.ReadFile(document())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for i, l := range strings.Split(string(text), "\n") {
		if !strings.Contains(strings.ToLower(l), Waived) {
			continue
		}
		n++
		if !strings.HasSuffix(l, "| "+Waived+" |") || strings.Count(strings.ToLower(l), Waived) != 1 {
			t.Errorf("docs/clauses.md:%d: the word stands outside a status cell", i+1)
		}
	}
	if n == 0 || n > maxWaivers {
		t.Errorf("%d rows, want 1 to %d", n, maxWaivers)
	}
}

// Without any one annotation the document is another.
// req: TK-11
func TestEveryAnnotationCounts(t *testing.T) {
	rows, marks, waivers := real(t)
	lines, err := Table(rows, marks, waivers)
	if err != nil {
		t.Fatal(err)
	}
	whole := Render(lines)
	for i, m := range marks {
		less, err := Table(rows, slices.Delete(slices.Clone(marks), i, i+1), waivers)
		if err != nil {
			t.Fatal(err)
		}
		if Render(less) == whole {
			t.Errorf("%s on %s changes nothing: is it named twice?", m.ID, m.Place())
		}
	}
}

// Each test named in the document is one that go test lists.
// req: TK-11
func TestNamedTestsExist(t *testing.T) {
	testenv.NeedLevel(t, 1)
	text, err := os.ReadFile(document())
	if err != nil {
		t.Fatal(err)
	}
	named, dirs := map[string]bool{}, map[string]bool{}
	for l := range strings.SplitSeq(string(text), "\n") {
		cells := strings.Split(l, "|")
		if len(cells) != 10 || !idShape.MatchString(strings.TrimSpace(cells[1])) {
			continue
		}
		for name := range strings.SplitSeq(strings.TrimSpace(cells[7]), ", ") {
			if name != "" {
				named[name] = true
				dirs["./"+name[:strings.LastIndexByte(name, '.')]] = true
			}
		}
	}
	args := []string{"test", "-json", "-list", "^(Test|Fuzz)"}
	for d := range dirs {
		args = append(args, d)
	}
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir, cmd.Stderr = testenv.Root(), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for l := range strings.SplitSeq(string(out), "\n") {
		var e struct{ Package, Output string }
		if l == "" || json.Unmarshal([]byte(l), &e) != nil {
			continue
		}
		listed[strings.TrimPrefix(e.Package, "github.com/keposs/keposs/")+"."+strings.TrimSpace(e.Output)] = true
	}
	if len(named) == 0 {
		t.Fatal("docs/clauses.md names no test")
	}
	for name := range named {
		if !listed[name] {
			t.Errorf("docs/clauses.md names %s, go test does not list it", name)
		}
	}
}
