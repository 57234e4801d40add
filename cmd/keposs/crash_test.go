package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keposs/keposs/client"
	"github.com/keposs/keposs/cmd/keposs/internal/needle"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/escrow/api"
	"github.com/keposs/keposs/internal/testenv"
)

// Who reaches a crash point.
const (
	atCLI  = "the command"
	atSSCC = "SS-CC"
)

// crashPoints is every named point, who reaches it, and by which command.
// TestCrashPointsAreListed keeps the list equal to the code.
var crashPoints = []struct {
	name, at, command string
	quick             string // the victim at level 0; "" = none
}{
	{"ss-cc.init.start", atCLI, "ss-cc init", ""},
	{"ss-cc.init.files", atCLI, "ss-cc init", ""},
	{"ss-cc.init.password", atCLI, "ss-cc init", ""},
	{"enrol.claimed", atSSCC, "provision", ""},
	{"init.connect", atCLI, "init", ""},
	{"init.wiped", atCLI, "init", ""},
	{"store.start", atCLI, "init", ""},
	{"store.secret", atCLI, "init", ""},
	{"store.pending", atCLI, "init", ""},
	{"store.prepared", atCLI, "init", ""},
	{"store.journal", atCLI, "init", "process"},
	{"store.committed", atCLI, "init", ""},
	{"store.promoted", atCLI, "init", ""},
	{"prepare.stored", atSSCC, "init", ""},
	{"commit.stored", atSSCC, "init", "plugins"},
	{"commit.marked", atSSCC, "init", ""},
	{"sign.counted", atCLI, "sign", ""},
	{"try.before", atSSCC, "sign", ""},
	{"try.counted", atSSCC, "sign", "process"},
	{"confirm.applied", atSSCC, "sign", ""},
	{"order.stored", atSSCC, "unlock", "process"},
	{"remove.start", atCLI, "unbind", ""},
	{"remove.stored", atSSCC, "unbind", ""},
	{"remove.done", atCLI, "unbind", ""},
}

// elsewhere is reached by no command of these.
var elsewhere = map[string]string{
	"rotate.ring":      "rotation of the record keys",
	"rotate.rewrapped": "rotation of the record keys",

	"migrate.copied":    "TestMigrateKilled",
	"migrate.whole":     "TestMigrateKilled",
	"migrate.announced": "TestMigrateKilled",
	"restore.frozen":    "core/sscc TestRestored",
}

// Every point the code names is killed at by TestCrash or TestCrashInLife.
func TestCrashPointsAreListed(t *testing.T) {
	inCode := map[string]bool{}
	call := regexp.MustCompile(`\b[sS]tep\.At\("([^"]+)"\)`)
	err := filepath.WalkDir(testenv.Root(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		for _, m := range call.FindAllSubmatch(b, -1) {
			inCode[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, p := range crashPoints {
		listed[p.name] = true
	}
	for _, p := range lifePoints {
		listed[p.name] = true
	}
	for name := range listed {
		if !inCode[name] {
			t.Errorf("%s is in a list and not in the code", name)
		}
	}
	for name := range inCode {
		if !listed[name] && elsewhere[name] == "" {
			t.Errorf("%s is in the code and not in the list", name)
		}
	}
}

// kill -9 of SS-CC, of the command, or of either's plugins at each named point:
// the same command run again succeeds, there is one record, nothing that was
// committed is lost, no process is left, and the terminal's disk holds no
// policy, no sealed keys and nothing that was typed.
func TestCrash(t *testing.T) {
	if testing.Short() {
		t.Skip("minutes of processes that the race detector does not see; runs without -short")
	}
	adopt(t)
	s := newSite(t, crashBinary(t), "warn")
	for _, p := range crashPoints {
		for _, victim := range []string{"process", "plugins"} {
			if testenv.Level() == 0 && victim != p.quick {
				continue
			}
			if victim == "plugins" && p.command == "unbind" && p.at == atCLI {
				continue // they have done their work before either point
			}
			t.Run(fmt.Sprintf("%s/%s", p.name, victim), func(t *testing.T) {
				c := &crash{site: s, point: p.name, seen: t.TempDir()}
				c.env = []string{"KEPOSS_CRASH_AT=" + p.name, "KEPOSS_CRASH_SEEN=" + c.seen}
				if victim == "plugins" {
					c.env = append(c.env, "KEPOSS_CRASH_OF=children")
				}
				c.self = victim == "process"
				c.server = p.at == atSSCC
				map[string]func(*testing.T){"ss-cc init": c.ssccInit, "provision": c.provision, "init": c.init, "sign": c.sign, "unlock": c.unlock, "unbind": c.unbind}[p.command](t)
			})
		}
	}
}

// crash is one case.
type crash struct {
	*site
	point  string
	seen   string   // folder in which the killed process leaves the point's name
	env    []string // of the process that reaches the point
	self   bool     // the process itself is killed, not its plugins
	server bool     // SS-CC reaches the point
}

// again runs r with the crash, sees that it happened, puts everything back up
// and runs the same command until it succeeds, which must be at once.
// It returns the terminal's folder as the crash left it.
func (c *crash) again(t *testing.T, r run, x *terminal) (frozen string) {
	t.Helper()
	first := r
	if c.server {
		c.restart(t, c.env...)
	} else {
		first.env = c.env
	}
	res := c.run(t, first)
	c.reached(t, res)
	frozen = x.freeze(t)
	if c.server {
		if c.self {
			_ = c.life.Close()
			_ = c.site.server.Wait()
			c.site.server = nil
			c.start(t)
		} else {
			c.restart(t)
		}
	}
	if c.self && !c.server && !res.killed {
		t.Fatalf("the command was not killed: %s", res)
	}
	if res.status != 0 {
		c.must(t, r)
	}
	c.noneLeft(t)
	return frozen
}

// reached waits for the point: SS-CC may reach it after the command ended.
func (c *crash) reached(t *testing.T, res result) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(c.seen, c.point)); err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s was never reached: %s\nSS-CC: %s", c.point, res, c.logged(t))
		}
	}
}

// noneLeft: only SS-CC and its backend live.
func (c *crash) noneLeft(t *testing.T) {
	t.Helper()
	var known []process
	if c.site.server != nil {
		pid := c.site.server.Process.Pid
		known = append(descendants(t, pid), process{pid: pid})
	}
	noOrphans(t, known, 5*time.Second)
}

// freeze copies the terminal's folder as the crash left it.
func (x *terminal) freeze(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "frozen")
	if err := os.CopyFS(dir, os.DirFS(x.dir)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// clean searches the terminal's disk, as the crash left it and now, and the
// temporary folder.
func (x *terminal) clean(t *testing.T, frozen string) {
	t.Helper()
	needles := []needle.Needle{
		{Name: "the PIN", Data: []byte(sitePIN)},
		{Name: "the gesture", Data: []byte(siteGesture)},
		{Name: "a factor's name in the policy", Data: []byte("gesture")},
	}
	needles = append(needles, x.stored(t)...)
	for _, dir := range []string{frozen, x.dir, x.temp} {
		if err := needle.Control(dir, needles); err != nil {
			t.Fatal(err)
		}
		found, err := needle.Search(dir, needles)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range found.Hits {
			t.Errorf("on the terminal's disk: %s", h)
		}
	}
}

// stored is what SS-CC keeps for the user, asked for as the terminal would: the
// policy, and for a counted try the sealed keys. No part of either may be on
// the terminal's disk.
func (x *terminal) stored(t *testing.T) []needle.Needle {
	t.Helper()
	ctx := t.Context()
	var b client.Binding
	text, err := os.ReadFile(filepath.Join(x.dir, "terminal", "binding.json"))
	if err == nil {
		err = json.Unmarshal(text, &b)
	}
	if err != nil {
		t.Fatal(err)
	}
	keys, err := mstcc.NewFileKeyStore(filepath.Join(x.dir, "terminal", "keys"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := keys.Load(ctx, mstcc.DeviceKeyName(1))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Wipe()
	key, err := sm.NewPrivateKey(d.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	defer key.Wipe()
	identity, err := sm.ParsePEM([]byte(b.ServerKey))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := api.Dial(ctx, api.Peer{Endpoint: b.Endpoint, CA: b.CA, Realm: b.Realm, App: b.App, Device: b.Device, Server: identity, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	user, err := protocol.ParseID(x.status(t).UserID)
	if err != nil {
		t.Fatal(err)
	}
	pol, err := conn.Policy(ctx, protocol.PolicyRequest{User: user})
	if err != nil {
		t.Fatal(err)
	}
	// Any point of the curve does: only the blob is wanted.
	blob, err := conn.Evaluate(ctx, protocol.EvaluateRequest{User: user, Gen: pol.Gen, Attempt: protocol.ID{1, 2, 3}, Blinded: key.Public().Compressed()})
	if err != nil {
		t.Fatal(err)
	}
	out := []needle.Needle{
		{Name: "the policy", Data: pol.Policy},
		{Name: "the policy's signature", Data: pol.Policy[len(pol.Policy)-32:]},
	}
	for at := 0; at+32 <= len(blob.Sealed); at += 32 {
		out = append(out, needle.Needle{Name: fmt.Sprintf("the sealed keys from byte %d", at), Data: blob.Sealed[at : at+32]})
	}
	return out
}

// works: the user of the terminal signs, and is the only record of its app.
func (c *crash) works(t *testing.T, x *terminal) {
	t.Helper()
	c.must(t, x.sign("answers"))
	st := x.status(t)
	if st.State != "USER" || st.Used != 0 || st.Server == nil || st.Server.Used != 0 || st.Server.Locked {
		t.Errorf("after a right entry the state is %+v, server %+v", st, st.Server)
	}
	if have := x.users(t); !slices.Equal(have, []string{st.UserID}) {
		t.Errorf("SS-CC holds the users %v, the terminal is %s", have, st.UserID)
	}
	verify := x.sign("answers")
	verify.args = []string{"verify", x.file("answers"), "-s", filepath.Join(x.dir, "sig"), "--ppd-fd", "3"}
	c.must(t, verify)
}

func (c *crash) init(t *testing.T) {
	x := c.terminal(t)
	frozen := c.again(t, x.init("5"), x)
	c.works(t, x)
	x.clean(t, frozen)
}

func (c *crash) sign(t *testing.T) {
	x := c.terminal(t)
	c.must(t, x.init("5"))
	before := x.status(t).UserID
	frozen := c.again(t, x.sign("answers"), x)
	c.works(t, x)
	x.clean(t, frozen)
	if after := x.status(t).UserID; after != before {
		t.Errorf("the user was %s and is %s", before, after)
	}
}

func (c *crash) unlock(t *testing.T) {
	x := c.terminal(t)
	c.must(t, x.init("1"))
	user := x.status(t).UserID
	if res := c.run(t, x.sign("wrong")); res.status == 0 {
		t.Fatal("a wrong PIN signed")
	}
	if res := c.run(t, x.sign("answers")); res.status == 0 {
		t.Fatal("the user is not locked")
	}
	frozen := c.again(t, run{dir: c.dir, args: []string{"admin", "user", "unlock", user}}, x)
	c.works(t, x)
	x.clean(t, frozen)
}

func (c *crash) unbind(t *testing.T) {
	x := c.terminal(t)
	c.must(t, x.init("5"))
	r := x.sign("answers")
	r.args = []string{"unbind", "--ppd-fd", "3"}
	c.again(t, r, x)
	if have := x.users(t); len(have) != 0 {
		t.Errorf("SS-CC still holds %v", have)
	}
	if st := x.status(t); st.UserID != "" {
		t.Errorf("the terminal still knows %s", st.UserID)
	}
}

// provision enrols one device, whichever run SS-CC heard of first.
func (c *crash) provision(t *testing.T) {
	x, r := c.newTerminal(t)
	c.again(t, r, x)
	var list struct{ Devices []struct{ ID string } }
	c.object(t, &list, run{dir: c.dir, args: []string{"admin", "device", "list", x.app}})
	if len(list.Devices) != 1 {
		t.Errorf("SS-CC holds the devices %v, want one", list.Devices)
	}
	frozen := x.freeze(t)
	c.must(t, x.init("5"))
	c.works(t, x)
	x.clean(t, frozen)
}

// ssccInit is set up in a folder of its own; what it prints the second time is
// what the folder serves.
func (c *crash) ssccInit(t *testing.T) {
	own := &site{bin: c.bin, dir: filepath.Join(t.TempDir(), "own"), temp: c.temp, addr: "127.0.0.1:0", log: c.log, level: "warn"}
	r := run{dir: own.dir, fd3: c.file("password"), args: []string{"ss-cc", "init", "--password-fd", "3"}}
	first := r
	first.env = c.env
	res := c.run(t, first)
	c.reached(t, res)
	if c.self && !res.killed {
		t.Fatalf("not killed: %s", res)
	}
	if res.status != 0 {
		c.must(t, r)
	}
	c.noneLeft(t)
	for _, name := range []string{"password", "log"} {
		if err := os.Symlink(c.file(name), own.file(name)); err != nil {
			t.Fatal(err)
		}
	}
	own.start(t)
	own.stop(t)
	left, err := filepath.Glob(filepath.Join(own.dir, "ss-cc", "*", ".new-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("temporary files are left: %v, %v", left, err)
	}
}
