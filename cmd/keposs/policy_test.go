package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/keposs/keposs/internal/testenv"
)

func docPage(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(testenv.Root(), "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// chapter returns the text of a numbered chapter of the security policy.
func chapter(t *testing.T, text, title string) string {
	t.Helper()
	_, s, ok := strings.Cut(text, "\n## "+title+"\n")
	if !ok {
		t.Fatalf("no chapter %q", title)
	}
	s, _, _ = strings.Cut(s, "\n## ")
	return s
}

var policyChapters = []string{"1 General", "2 Module specification", "3 Interfaces", "4 Roles, services and authentication",
	"5 Software security", "6 Operational environment", "7 Physical security", "8 Non-invasive security",
	"9 Sensitive security parameters", "10 Self-tests", "11 Life cycle", "12 Mitigation of other attacks"}

// The chapters stand in the order of annex B, and say what the standard wants
// said of a software module.
// req: G-7.2-01, K-12-01, K-13-01, K-14-01, K-8.3-01
func TestPolicyHasTheOrderOfAnnexB(t *testing.T) {
	text := docPage(t, "security-policy.md")
	var have []string
	for l := range strings.Lines(text) {
		if title, ok := strings.CutPrefix(strings.TrimSpace(l), "## "); ok {
			have = append(have, title)
		}
	}
	if !slices.Equal(have, policyChapters) {
		t.Errorf("chapters %q\nwant     %q", have, policyChapters)
	}
	for title, word := range map[string]string{
		"1 General": "software module", "6 Operational environment": "Modifiable (K-12-01)", "7 Physical security": "Does not apply to a software module (K-13-01)",
		"8 Non-invasive security": "Does not apply (K-14-01)", "2 Module specification": "No degraded mode",
	} {
		if !strings.Contains(chapter(t, text, title), word) {
			t.Errorf("chapter %s does not say %q", title, word)
		}
	}
}

// Both components' parts stand with the package that holds each, and the
// packages exist.
// req: K-8.2-02, K-8.2-03, G-7.2-01
func TestPolicyNamesEachPart(t *testing.T) {
	text := chapter(t, docPage(t, "security-policy.md"), "2 Module specification")
	for _, part := range []string{"6.1.1", "6.1.2", "6.1.3", "6.1.4", "6.1.5", "6.1.6", "6.1.7", "6.2.1", "6.2.2", "6.2.3"} {
		row := regexp.MustCompile(`(?m)^\|.*\(` + regexp.QuoteMeta(part) + `\) \|(.*)\|$`).FindStringSubmatch(text)
		if row == nil {
			t.Errorf("part %s has no row", part)
			continue
		}
		packages := regexp.MustCompile("`([a-z/]+)`").FindAllStringSubmatch(row[1], -1)
		if len(packages) == 0 {
			t.Errorf("part %s names no package", part)
		}
		for _, p := range packages {
			if files, _ := filepath.Glob(filepath.Join(testenv.Root(), p[1], "*")); len(files) == 0 {
				t.Errorf("part %s names %s, which is not there", part, p[1])
			}
		}
	}
}

// Every SSP of the standard, every further one that exists in practice, and
// every label a key is derived with in the code has a row of its own kind.
// req: K-15-00, K-15-00b, K-15-D1, G-7.9-01, K-15.5-00
func TestPolicyListsEverySSP(t *testing.T) {
	text := chapter(t, docPage(t, "security-policy.md"), "9 Sensitive security parameters")
	var rows [][]string
	for l := range strings.Lines(text) {
		if cells := strings.Split(strings.TrimSpace(l), "|"); len(cells) == 9 && !strings.HasPrefix(cells[1], "-") {
			rows = append(rows, cells)
		}
	}
	if len(rows) < 30 {
		t.Fatalf("only %d rows", len(rows))
	}
	column := func(i int) (s string) {
		for _, r := range rows[1:] {
			if strings.TrimSpace(r[i]) == "" && i != 4 {
				t.Errorf("%s has an empty column %d", r[1], i)
			}
			s += r[i] + "\n"
		}
		return s
	}
	names := column(1)
	for _, want := range []string{"d_M", "P_M", "MK", "PPD", "ticket key", "device secret", "anchor A", "RK", "MA", "K_S", "BK", "d_pol", "d_conf", "d_rec",
		"OPRF key", "device key", "identity key", "root key", "store key", "password", "generator", "plugin session keys", "helper data", "session keys"} {
		if !strings.Contains(names, want) {
			t.Errorf("no row for %s", want)
		}
	}
	labels := column(4)
	src, err := os.ReadFile(filepath.Join(testenv.Root(), "core", "mf", "labels.go"))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^\tlabel[A-Z]\w*\s+= "([^"]+)"`).FindAllStringSubmatch(string(src), -1)
	if len(found) < 20 {
		t.Fatalf("only %d labels in the code", len(found))
	}
	rest := column(5)
	for _, m := range found {
		if !strings.Contains(labels+rest, "`"+m[1]+"`") {
			t.Errorf("what is derived with label %s has no row", m[1])
		}
	}
	for _, i := range []int{2, 3, 5, 6, 7} {
		column(i)
	}
}

// Each mitigation names a test that exists in the package it says.
// req: K-18-00, G-7.12-01
func TestPolicyEvidenceExists(t *testing.T) {
	text := chapter(t, docPage(t, "security-policy.md"), "12 Mitigation of other attacks")
	named := regexp.MustCompile("`([a-z/]+)` (Test[A-Za-z0-9]+)").FindAllStringSubmatch(text, -1)
	if len(named) < 8 {
		t.Errorf("only %d tests are named", len(named))
	}
	for _, m := range named {
		files, _ := filepath.Glob(filepath.Join(testenv.Root(), m[1], "*_test.go"))
		if !slices.ContainsFunc(files, func(f string) bool {
			b, err := os.ReadFile(f)
			return err == nil && strings.Contains(string(b), "func "+m[2]+"(")
		}) {
			t.Errorf("no test %s in %s", m[2], m[1])
		}
	}
	if strings.Count(text, "\n| ") < 9 {
		t.Error("fewer than eight attacks are listed")
	}
}

// Every standard the text cites stands on the page with what became of it.
// req: X-21
func TestStandardsPage(t *testing.T) {
	text := docPage(t, "standards.md")
	for cited, newer := range map[string]string{
		"GM/T 0028-2014": "GM/T 0028-2024", "GM/T 0019-2012": "GM/T 0019-2023", "GM/T 0003.3-2012": "GB/T 32918.3", "GB/T 25069-2010": "GB/T 25069-2022", "GM/T 0029-2014": "bibliography",
	} {
		row := regexp.MustCompile(`(?m)^\| ` + regexp.QuoteMeta(cited) + `.*$`).FindString(text)
		if !strings.Contains(row, newer) {
			t.Errorf("%s: no row that tells of %s: %q", cited, newer, row)
		}
	}
	for _, m := range regexp.MustCompile("`((?:core|plugins)/[a-z/.]+)`").FindAllStringSubmatch(text, -1) {
		if files, _ := filepath.Glob(filepath.Join(testenv.Root(), m[1])); len(files) == 0 {
			t.Errorf("the page names %s, which is not there", m[1])
		}
	}
}

// The whole check runs the diagnostics the vendor's testing consists of.
// req: K-17.5-00, G-7.11-06
func TestCheckRunsDiagnostics(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(testenv.Root(), ".ci", "run"))
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []string{"vet", "tests", "lint", "race", "fuzz", "vulnerabilities", "portable"} {
		if !regexp.MustCompile(`(?m)^step \w+ ` + step + `$`).Match(b) {
			t.Errorf(".ci/run has no step %s", step)
		}
	}
}
