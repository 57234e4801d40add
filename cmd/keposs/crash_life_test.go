package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/keposs/keposs/internal/testenv"
)

// lifePoints are the points of a key's life after its initialisation: who
// reaches each, and by which commands.
var lifePoints = []struct {
	name, at string
	commands []string
	quick    string // the command at level 0; "" = none
}{
	{"life.sealed", atCLI, []string{"change", "revoke"}, ""},
	{"store.start", atCLI, []string{"change", "revoke", "recover"}, ""},
	{"store.secret", atCLI, []string{"revoke", "recover"}, ""},
	{"store.pending", atCLI, []string{"change", "revoke", "recover"}, ""},
	{"store.prepared", atCLI, []string{"change", "revoke", "recover"}, ""},
	{"store.journal", atCLI, []string{"change", "revoke", "recover"}, "change"},
	{"store.committed", atCLI, []string{"change", "revoke", "recover"}, ""},
	{"store.promoted", atCLI, []string{"change", "revoke", "recover"}, ""},
	{"store.devicekey", atCLI, []string{"revoke"}, ""},
	{"store.rekeyed", atCLI, []string{"revoke"}, ""},
	{"recover.rebound", atCLI, []string{"recover"}, ""},
	{"recover.sealed", atCLI, []string{"recover"}, ""},
	{"prepare.stored", atSSCC, []string{"change", "revoke", "recover"}, ""},
	{"commit.stored", atSSCC, []string{"change", "revoke", "recover"}, ""},
	{"commit.rekeyed", atSSCC, []string{"revoke"}, "revoke"},
	{"commit.marked", atSSCC, []string{"change", "revoke", "recover"}, ""},
	{"rebind.stored", atSSCC, []string{"recover"}, "recover"},
}

// Answers of a user with three factors, before and after.
const (
	lifeBefore = "pin=" + sitePIN + "\ngesture=" + siteGesture + "\npin:work=618034\n"
	lifeAfter  = "pin=580194\ngesture=" + siteGesture + "\npin:work=618034\n"
	lifeDuring = "pin=" + sitePIN + "\npin=580194\ngesture=" + siteGesture + "\npin:work=618034\n"
)

// kill -9 of the command or of SS-CC at each named point of a factor change, a
// revoke and a recovery: afterwards exactly one of the old and the new factors
// opens, and the command that was cut short can be run again.
// req: K-17.1-D1
func TestCrashInLife(t *testing.T) {
	if testing.Short() {
		t.Skip("minutes of processes that the race detector does not see; runs without -short")
	}
	adopt(t)
	s := newSite(t, crashBinary(t), "warn")
	for name, text := range map[string]string{"before": lifeBefore, "after": lifeAfter, "during": lifeDuring} {
		if err := os.WriteFile(s.file(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range lifePoints {
		for _, command := range p.commands {
			if testenv.Level() == 0 && command != p.quick {
				continue
			}
			t.Run(fmt.Sprintf("%s/%s", command, p.name), func(t *testing.T) {
				c := &crash{site: s, point: p.name, seen: t.TempDir(), self: true, server: p.at == atSSCC}
				c.env = []string{"KEPOSS_CRASH_AT=" + p.name, "KEPOSS_CRASH_SEEN=" + c.seen}
				if command == "recover" {
					c.recover(t)
				} else {
					c.change(t, command)
				}
			})
		}
	}
}

// living is a terminal whose user has three factors, two of which open.
func (c *crash) living(t *testing.T) *terminal {
	t.Helper()
	x := c.terminal(t)
	c.must(t, run{dir: x.dir, fd3: x.file("before"), args: []string{"init", "--min-iterations", "1024", "--policy", "2 of (pin, gesture, pin:work)", "--ppd-fd", "3"}})
	return x
}

// once runs r, sees it die at the point, and puts SS-CC back up. It does not
// run the command again.
func (c *crash) once(t *testing.T, r run) {
	t.Helper()
	if c.server {
		c.restart(t, c.env...)
	} else {
		r.env = c.env
	}
	res := c.run(t, r)
	c.reached(t, res)
	if c.server {
		_ = c.life.Close()
		_ = c.site.server.Wait()
		c.site.server = nil
		c.start(t)
	} else if !res.killed {
		t.Fatalf("the command was not killed: %s", res)
	}
	c.noneLeft(t)
}

// signsWith tells whether the factors of a file, pin and gesture, sign.
func (c *crash) signsWith(t *testing.T, x *terminal, answers string) bool {
	t.Helper()
	r := x.sign(answers)
	r.args = append(r.args, "--factors", "pin,gesture")
	res := c.run(t, r)
	if res.status != 0 && res.status != 3 {
		t.Fatalf("neither right nor wrong: %s\nSS-CC: %s", res, c.logged(t))
	}
	return res.status == 0
}

func (c *crash) change(t *testing.T, command string) {
	x := c.living(t)
	args := map[string][]string{"change": {"factor", "change", "pin"}, "revoke": {"revoke", "--no-sheet"}}[command]
	r := run{dir: x.dir, fd3: x.file("during"), args: append(args, "--ppd-fd", "3")}
	c.once(t, r)
	before, after := c.signsWith(t, x, "before"), c.signsWith(t, x, "after")
	if before == after {
		t.Fatalf("old factors open: %v, new ones: %v; want exactly one", before, after)
	}
	if before {
		c.must(t, r)
		if !c.signsWith(t, x, "after") || c.signsWith(t, x, "before") {
			t.Error("run again, the command did not change the factors")
		}
	}
	if st := x.status(t); st.Server == nil || st.State != "USER" {
		t.Errorf("status %+v", st)
	}
	left, err := os.ReadDir(filepath.Join(x.dir, "terminal", "keys"))
	if err != nil || len(left) != 2 {
		t.Errorf("the key store holds %v, want one device key and one device secret", left)
	}
}

func (c *crash) recover(t *testing.T) {
	x := c.living(t)
	sheet := filepath.Join(t.TempDir(), "sheet")
	c.must(t, run{dir: x.dir, fd3: x.file("before"), args: []string{"recovery", "create", "--sheet", sheet, "--ppd-fd", "3"}})
	y := &terminal{site: c.site, app: x.app, dir: t.TempDir()}
	ticket := filepath.Join(t.TempDir(), "ticket")
	c.must(t, run{dir: c.dir, args: []string{"admin", "ticket", x.app, "--out", ticket}})
	c.must(t, run{dir: y.dir, args: []string{"provision", ticket}})
	r := run{dir: y.dir, fd3: x.file("during"), args: []string{"recover", "--min-iterations", "1024", "--from", sheet, "--no-sheet", "--ppd-fd", "3"}}
	c.once(t, r)
	c.must(t, r)
	if !c.signsWith(t, y, "after") || c.signsWith(t, y, "before") {
		t.Error("on the new terminal not exactly the new factors open")
	}
	if res := c.run(t, x.sign("before")); res.status != 10 {
		t.Errorf("the old terminal: %s, want refused", res)
	}
}
