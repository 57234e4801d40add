package server

import (
	"os"
	"strings"
	"testing"

	"github.com/keposs/keposs/core"
)

// folder is one with config.toml as given.
func folder(t testing.TB, config string) Folder {
	t.Helper()
	f := Folder(t.TempDir())
	if err := os.WriteFile(f.path(configFile), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}

// req: K-12.1-L2c
func TestConfigIsStrict(t *testing.T) {
	for _, c := range []struct {
		name, text string
		code       core.Code
		says       string
	}{
		{"least", `version = 1`, core.Unknown, ""},
		{"all", "version = 1\nlisten = \":7443\"\nhosts = [\"keys.example.org\", \"2001:db8::1\"]\nlog = \"debug\"\ndrain = \"1m\"\naudit_head = \"/x\"\naudit_fail_closed = true\n[limits]\naddress_rate = 10\napp_rate = 5.5\ndevice_rate = 1\npolicy_rate = 1\ntries_per_minute = 3\n[backend]\nname = \"badger\"\n[backend.settings]\nwatermark_mb = \"512\"", core.Unknown, ""},
		{"no version", ``, core.Unsupported, "version 0"},
		{"version of later", `version = 2`, core.Unsupported, "version 2"},
		{"misspelt", "version = 1\nlisen = \":1\"", core.Invalid, "lisen"},
		{"misspelt below", "version = 1\n[backend]\nnam = \"x\"", core.Invalid, "backend.nam"},
		{"no TOML", "version = ", core.Invalid, "config.toml"},
		{"type", `version = "1"`, core.Invalid, "config.toml"},
		{"address", "version = 1\nlisten = \"here\"", core.Usage, "address:port"},
		{"host with port", "version = 1\nhosts = [\"a:1\"]", core.Usage, "without a port"},
		{"level", "version = 1\nlog = \"loud\"", core.Usage, "debug, info, warn or error"},
		{"drain", "version = 1\ndrain = \"soon\"", core.Usage, "duration"},
		{"level 2", "version = 1\nlevel = 2\nhost_protected = \"R. Roe, 2026-02-03\"", core.Unknown, ""},
		{"level 2 without a word on the host", "version = 1\nlevel = 2", core.Policy, "checklist of docs/admin-guide.md"},
		{"level 3", "version = 1\nlevel = 3", core.Usage, "want 1 or 2"},
		{"two lines of protection", "version = 1\nhost_protected = \"a\\nb\"", core.Usage, "one line"},
		{"rate below 0", "version = 1\n[limits]\napp_rate = -1", core.Usage, "app_rate"},
		{"rate that is none", "version = 1\n[limits]\naddress_rate = nan", core.Usage, "address_rate"},
		{"tries out of bounds", "version = 1\n[limits]\ntries_per_minute = 256", core.Invalid, "config.toml"},
		{"misspelt limit", "version = 1\n[limits]\napp_rat = 1", core.Invalid, "app_rat"},
		{"an attestation service", "version = 1\n[attest]\nplay = \"play.pem\"", core.Unknown, ""},
		{"a service without a key", "version = 1\n[attest]\nplay = \"\"", core.Usage, "attest"},
		{"a platform's name with =", "version = 1\n[attest]\n\"a=b\" = \"x\"", core.Usage, "attest"},
		{"drain without end", "version = 1\ndrain = \"25h\"", core.Usage, "duration"},
	} {
		_, err := folder(t, c.text).loadConfig("test")
		if core.CodeOf(err) != c.code || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v (%v), want %v naming %q", c.name, err, core.CodeOf(err), c.code, c.says)
		}
	}
	if _, err := Folder(t.TempDir()).loadConfig("test"); core.CodeOf(err) != core.State || !strings.Contains(err.Error(), "keposs ss-cc init") {
		t.Errorf("no file: %v", err)
	}
}

// What init writes is what serve reads.
func TestConfigRoundTrip(t *testing.T) {
	c := &Config{Version: 1, Hosts: []string{"keys.example.org"}, Backend: Store{Settings: map[string]string{"watermark_mb": "512", "dir": `a "b" \c`}}}
	c.fill()
	b, err := c.marshal()
	if err != nil {
		t.Fatal(err)
	}
	have, err := folder(t, string(b)).loadConfig("test")
	if err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	again, err := have.marshal()
	if err != nil || string(again) != string(b) {
		t.Errorf("%v: read back as\n%s\nwritten\n%s", err, again, b)
	}
}

func TestParseSettings(t *testing.T) {
	got, err := ParseSettings([]byte("a = \"x\"\nb = 12\nc = true\nd = \"10m\"\n"))
	if err != nil || got["a"] != "x" || got["b"] != "12" || got["c"] != "true" || got["d"] != "10m" || len(got) != 4 {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"a = [1]", "[a]\nb = 1", "a = 2026-01-01", "a"} {
		if _, err := ParseSettings([]byte(bad)); core.CodeOf(err) != core.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzConfig(f *testing.F) {
	f.Add("version = 1\n[backend.settings]\nx = \"1\"\n")
	f.Add("version = 1\nhosts = [\"a\"]\nlisten = \":0\"")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := folder(t, text).loadConfig("fuzz")
		if err != nil {
			return
		}
		b, err := c.marshal()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := folder(t, string(b)).loadConfig("fuzz"); err != nil {
			t.Errorf("%q reads, and what is written of it does not: %v", text, err)
		}
	})
}

func FuzzSettings(f *testing.F) {
	f.Add("a = 1")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := ParseSettings([]byte(text))
		if err != nil && (m != nil || core.CodeOf(err) != core.Invalid) {
			t.Errorf("%q: %v, %v", text, m, err)
		}
	})
}

// Commands of this machine come over loopback; tickets name the configured host.
func TestListening(t *testing.T) {
	for _, c := range []struct{ at, host, endpoint, public string }{
		{"127.0.0.1:7", "localhost", "127.0.0.1:7", "127.0.0.1:7"},
		{"0.0.0.0:7", "keys.example.org", "127.0.0.1:7", "keys.example.org:7"},
		{"[::]:7", "2001:db8::1", "[::1]:7", "[2001:db8::1]:7"},
		{"192.0.2.1:7", "localhost", "192.0.2.1:7", "192.0.2.1:7"},
	} {
		f := Folder(t.TempDir() + "/new")
		if err := f.make("test"); err != nil {
			t.Fatal(err)
		}
		if _, _, err := f.Find("test"); core.CodeOf(err) != core.State {
			t.Errorf("before set-up: %v", err)
		}
		for _, name := range []string{realmFile, caFile} {
			if err := f.write("test", name, []byte("{}"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := f.Find("test"); core.CodeOf(err) != core.Unavailable {
			t.Errorf("not running: %v", err)
		}
		if err := f.writeListening(Ready{Listening: c.at, PID: 1}, &Config{Hosts: []string{c.host}}, &settled{}); err != nil {
			t.Fatal(err)
		}
		l, ca, err := f.Find("test")
		if err != nil || l.Endpoint != c.endpoint || l.Public != c.public || ca != "{}" {
			t.Errorf("%s: %+v, %v", c.at, l, err)
		}
		if err := f.forgetListening(); err != nil {
			t.Fatal(err)
		}
	}
}

// One process holds the folder; temporary files of a killed one go.
func TestFolder(t *testing.T) {
	f := Folder(t.TempDir() + "/new")
	if err := f.private("test"); core.CodeOf(err) != core.State {
		t.Errorf("absent: %v", err)
	}
	if err := f.make("test"); err != nil {
		t.Fatal(err)
	}
	unlock, err := f.lock("test")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.lock("test"); core.CodeOf(err) != core.State {
		t.Errorf("second holder: %v", err)
	}
	left := f.path("tls/.new-123")
	if err := os.WriteFile(left, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f.sweep()
	if _, err := os.Stat(left); err == nil {
		t.Error("a temporary file stays")
	}
	unlock()
	if unlock, err = f.lock("test"); err != nil {
		t.Fatal(err)
	}
	unlock()
	if !privateModes {
		return
	}
	if err := os.Chmod(string(f), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := f.private("test"); core.CodeOf(err) != core.Integrity {
		t.Errorf("open to the group: %v", err)
	}
}
