package mf

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const root = "../.."

// goText is every Go file of the module, joined.
func goText(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && strings.HasPrefix(d.Name(), "."):
			return filepath.SkipDir
		case !d.IsDir() && strings.HasSuffix(path, ".go"):
			text, err := os.ReadFile(path)
			b.Write(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func page(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var rowID = regexp.MustCompile(`\b(?:[KG]-[0-9][0-9A-Za-z.]*-[0-9A-Za-z]+|X-[0-9]{2})\b`)

// The threat table names the three risks, and every row id in it stands beside
// code or a test that answers it.
// req: K-5.2-01
func TestThreatModelNamesRealRows(t *testing.T) {
	text, code := page(t, "threat-model.md"), goText(t)
	section, _, ok := strings.Cut(text, "## Who attacks")
	if !ok {
		t.Fatal("the page lost its sections")
	}
	for _, risk := range []string{"(1)", "(2)", "(3)"} {
		i := strings.Index(section, "| "+risk)
		if i < 0 {
			t.Errorf("risk %s of clause 5.2 is missing", risk)
			continue
		}
		line, _, _ := strings.Cut(section[i:], "\n")
		if n := len(rowID.FindAllString(line, -1)); n < 3 {
			t.Errorf("risk %s is answered by %d rows", risk, n)
		}
	}
	ids := rowID.FindAllString(text, -1)
	for _, id := range ids {
		if !regexp.MustCompile(regexp.QuoteMeta(id) + `\b`).MatchString(code) {
			t.Errorf("row %s stands beside no code or test", id)
		}
	}
	if len(ids) < 15 {
		t.Errorf("only %d row ids", len(ids))
	}
}

// Every attack test of the design exists by number, and the page names tests
// that exist, each in the package it says.
func TestAttackTestsByNumber(t *testing.T) {
	rows := regexp.MustCompile(`(?m)^\| ([0-9]+) \| .* \| (.*) \|$`).FindAllStringSubmatch(page(t, "threat-model.md"), -1)
	var have []int
	for _, r := range rows {
		n, err := strconv.Atoi(r[1])
		if err != nil {
			t.Fatal(err)
		}
		have = append(have, n)
		named := regexp.MustCompile("`([a-z/]+)` (Test[A-Za-z0-9]+)").FindAllStringSubmatch(r[2], -1)
		byNumber := false
		for _, m := range named {
			files, _ := filepath.Glob(filepath.Join(root, m[1], "*_test.go"))
			found := slices.ContainsFunc(files, func(f string) bool {
				b, err := os.ReadFile(f)
				return err == nil && strings.Contains(string(b), "func "+m[2]+"(")
			})
			if !found {
				t.Errorf("attack %d: no test %s in %s", n, m[2], m[1])
			}
			byNumber = byNumber || strings.HasPrefix(m[2], "TestAttack"+fmt2(n))
		}
		if !byNumber {
			t.Errorf("attack %d has no test with its number", n)
		}
	}
	want := make([]int, 35)
	for i := range want {
		want[i] = i + 1
	}
	if !slices.Equal(have, want) {
		t.Errorf("attacks %v, want 1 to 35", have)
	}
}

func fmt2(n int) string {
	if n < 10 {
		return "0" + strconv.Itoa(n)
	}
	return strconv.Itoa(n)
}

// The normative page lists the closed set of labels and heads, and no other.
func TestPageListsEveryLabel(t *testing.T) {
	text := page(t, "mf1.md")
	src, err := os.ReadFile("labels.go")
	if err != nil {
		t.Fatal(err)
	}
	var labels, heads []string
	for _, m := range regexp.MustCompile(`(?m)^\t(label|head)[A-Z]\w*\s+= "([^"]+)"`).FindAllStringSubmatch(string(src), -1) {
		if m[1] == "label" {
			labels = append(labels, m[2])
		} else {
			heads = append(heads, m[2])
		}
	}
	section := func(from, to string) string {
		_, s, ok := strings.Cut(text, from)
		s, _, ok2 := strings.Cut(s, to)
		if !ok || !ok2 {
			t.Fatalf("the page has no %q … %q", from, to)
		}
		return s
	}
	var listed []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\|").FindAllStringSubmatch(section("### 1.1 The labels of X", "Heads,"), -1) {
		listed = append(listed, m[1])
	}
	var listedHeads []string
	for _, m := range regexp.MustCompile("`([a-z-]+)`").FindAllStringSubmatch(section("Heads,", "## 2"), -1) {
		listedHeads = append(listedHeads, m[1])
	}
	if !slices.Equal(labels, listed) || len(labels) < 20 {
		t.Errorf("labels of the code: %v\nof the page:        %v", labels, listed)
	}
	if !slices.Equal(heads, listedHeads) {
		t.Errorf("heads of the code: %v\nof the page:       %v", heads, listedHeads)
	}
}
