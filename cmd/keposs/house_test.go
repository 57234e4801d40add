package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/keposs/keposs/internal/testenv"
)

const module = "github.com/keposs/keposs"

// deps lists what the packages of pattern import, directly and through others.
func deps(t *testing.T, pattern string, extra ...string) []string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}"}, append(extra, pattern)...)...)
	cmd.Dir = testenv.Root()
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %s: %v", pattern, err)
	}
	return strings.Fields(string(out))
}

// core imports the standard library, gmsm and x/sys, and nothing that knows a
// network, a plugin framework or a database.
// req: K-8.2-02
func TestCoreImports(t *testing.T) {
	list := deps(t, "./core/...")
	if len(list) < 5 {
		t.Fatalf("go list found only %v", list)
	}
	allowed := []string{module + "/core", "github.com/emmansun/gmsm", "golang.org/x/sys", "golang.org/x/crypto"}
	for _, p := range list {
		ok := false
		for _, a := range allowed {
			ok = ok || p == a || strings.HasPrefix(p, a+"/")
		}
		if !ok {
			t.Errorf("core reaches %s", p)
		}
	}
}

// Only core/sm imports gmsm inside core: its digest trap and key copies stay there.
func TestOnlyDoorToGmsm(t *testing.T) {
	cmd := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./core/...", "./ppd/...", "./plugins/...", "./client/...", "./cmd/...")
	cmd.Dir = testenv.Root()
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	door := false
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		pkg, imports, _ := strings.Cut(line, " ")
		if !strings.Contains(imports, "emmansun/gmsm") {
			continue
		}
		if pkg == module+"/core/sm" || strings.HasPrefix(pkg, module+"/core/sm/") {
			door = true
		} else {
			t.Errorf("%s imports gmsm: core/sm is the only door", pkg)
		}
	}
	if !door {
		t.Error("core/sm does not import gmsm: the test looks in the wrong place")
	}
}

// The host serves any implementation: it names none, but in the mains and the kit.
func TestPluginsImportNoImplementation(t *testing.T) {
	cmd := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Deps " "}}`, "./plugins/...")
	cmd.Dir = testenv.Root()
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		pkg, rest, _ := strings.Cut(line, " ")
		if strings.HasPrefix(pkg, module+"/plugins/bin") || strings.HasPrefix(pkg, module+"/plugins/plugintest") {
			continue
		}
		for _, dep := range strings.Fields(rest) {
			for _, kind := range []string{"/ppd", "/kdf", "/escrow"} {
				if strings.HasPrefix(dep, module+kind+"/") {
					t.Errorf("%s reaches %s", pkg, dep)
				}
			}
		}
	}
}

// An app reaches the module through client and nothing else.
// req: K-6.3-01, K-6.1-00a, K-17.6-L1a
func TestExampleUsesOnlyClient(t *testing.T) {
	cmd := exec.Command("go", "list", "-f", `{{join .Imports "\n"}}`, "./examples/embed")
	cmd.Dir = testenv.Root()
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	client := false
	for _, p := range strings.Fields(string(out)) {
		switch {
		case p == module+"/client":
			client = true
		case strings.HasPrefix(p, module):
			t.Errorf("examples/embed imports %s", p)
		}
	}
	if !client {
		t.Error("examples/embed does not import client")
	}
}

// go.mod requires the five given packages directly.
func TestGoModRequires(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(testenv.Root(), "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"github.com/hashicorp/go-plugin", "github.com/emmansun/gmsm", "github.com/hashicorp/go-hclog",
		"google.golang.org/grpc", "google.golang.org/protobuf",
	} {
		re := regexp.MustCompile(`(?m)^\s*(require )?` + regexp.QuoteMeta(want) + ` v\S+[ \t]*(//.*)?$`)
		line := re.FindString(string(b))
		if line == "" || strings.Contains(line, "// indirect") {
			t.Errorf("go.mod does not require %s directly: %q", want, strings.TrimSpace(line))
		}
	}
}

// Rights on documents and on each part of the module have owners of their own.
// req: K-17.1-02, K-17.1-03, K-17.1-00, G-7.11-01, X-19
func TestCodeOwners(t *testing.T) {
	f, err := os.Open(filepath.Join(testenv.Root(), "CODEOWNERS"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	owner := map[string]string{}
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) >= 2 && !strings.HasPrefix(fields[0], "#") {
			owner[fields[0]] = fields[1]
		}
	}
	parts := []string{"/core/", "/plugins/", "/ppd/", "/kdf/", "/escrow/", "/docs/"}
	seen := map[string]string{}
	for _, p := range parts {
		if owner[p] == "" {
			t.Errorf("CODEOWNERS has no line for %s", p)
		}
		if other := seen[owner[p]]; other != "" {
			t.Errorf("%s and %s share the owner %s", p, other, owner[p])
		}
		seen[owner[p]] = p
	}
}
