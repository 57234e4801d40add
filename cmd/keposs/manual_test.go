package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/keposs/keposs/internal/testenv"
)

// blocks reads the commands of a page, by the name of their block.
func blocks(t *testing.T, page string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, m := range guideBlock.FindAllStringSubmatch(docPage(t, page), -1) {
		out[m[1]] = m[2]
	}
	return out
}

// The two guides, every command as it stands and in the order a site lives
// them; only the port is another, and what would be typed comes from files.
// req: K-17.8-00, G-7.11-09, K-10.1-02, K-10.1-03, G-7.4-02
func TestManuals(t *testing.T) {
	testenv.NeedLevel(t, 1) // six entries at the default cost
	t.Parallel()
	admin, user := blocks(t, "admin-guide.md"), blocks(t, "user-guide.md")
	var script strings.Builder
	script.WriteString("set -eu\ntrap 'kill $SERVER 2>/dev/null; wait' EXIT\nSERVER=\n")
	for _, b := range []struct {
		from map[string]string
		name string
	}{{admin, "setup"}, {admin, "start"}, {admin, "app"}, {user, "begin"}, {user, "sign"}, {user, "encrypt"}, {user, "change"}, {admin, "users"}, {user, "end"}, {admin, "end"}} {
		if b.from[b.name] == "" {
			t.Fatalf("no block %s", b.name)
		}
		for line := range strings.Lines(b.from[b.name]) {
			if line == "keposs ss-cc serve &\n" {
				line = "keposs ss-cc serve --listen 127.0.0.1:0 & SERVER=$!\n"
			}
			script.WriteString(line)
		}
		delete(b.from, b.name)
	}
	for name := range admin {
		t.Errorf("admin-guide.md: block %s is not executed", name)
	}
	for name := range user {
		t.Errorf("user-guide.md: block %s is not executed", name)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"password": sitePassword + "\n", "safe": "a password for a safe\n", "answers": "pin=" + sitePIN + "\ngesture=" + siteGesture + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sh := exec.CommandContext(t.Context(), "sh", "-c", script.String())
	sh.Dir = dir
	sh.Env = append(os.Environ(), "PATH="+filepath.Dir(builtBinary(t))+":"+os.Getenv("PATH"), "XDG_DATA_HOME="+filepath.Join(dir, "data"), "TMPDIR="+t.TempDir())
	out, err := sh.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"SERVING", "valid", "self-tests passed", "intact: ", "deregistered", "What to do"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the commands never say %q:\n%s", want, out)
		}
	}
}

var commandInPage = regexp.MustCompile("`(keposs [a-z][a-z -]*)")

// Every command a page names exists.
func TestPagesNameRealCommands(t *testing.T) {
	help, n := docPage(t, "cli.md"), 0
	for _, page := range []string{"admin-guide.md", "user-guide.md", "security-policy.md", "standards.md", "roles.md", "operations.md"} {
		for _, m := range commandInPage.FindAllStringSubmatch(strings.ReplaceAll(docPage(t, page), "\n", " "), -1) {
			words, found := strings.Fields(m[1]), false
			for i := len(words); i > 1 && !found; i-- {
				found = strings.Contains(help, "\n### "+strings.Join(words[:i], " ")+"\n")
			}
			if n++; !found {
				t.Errorf("%s names %q", page, m[1])
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d commands found", n)
	}
}
