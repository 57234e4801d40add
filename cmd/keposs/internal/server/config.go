package server

import (
	"bytes"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/BurntSushi/toml"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
)

// Config is config.toml. Unknown names are refused: a misspelt limit must not
// silently be no limit.
type Config struct {
	Version int      `toml:"version"`    // 1
	Listen  string   `toml:"listen"`     // address and port of the listener
	Hosts   []string `toml:"hosts"`      // names and addresses in the certificate; the first stands in tickets
	Log     string   `toml:"log"`        // debug, info, warn, error
	Drain   string   `toml:"drain"`      // how long requests under way may take at the end
	Metrics string   `toml:"metrics"`    // address:port of /metrics, /livez, /readyz; "" = none
	Head    string   `toml:"audit_head"` // file that keeps the head of the audit log outside the backend; "" = in the folder
	// Level is the security level claimed, 1 or 2. Level 2 wants the operator's
	// word that the host is physically protected: who says so, in Protected.
	Level     int    `toml:"level"`
	Protected string `toml:"host_protected"`
	// FailClosed lets no answer leave before its audit event is durable.
	FailClosed bool   `toml:"audit_fail_closed"`
	Limits     Limits `toml:"limits"`
	Backend    Store  `toml:"backend"`
	// Attest names the attestation services whose word apps may ask for (P-14):
	// a platform and the PEM file of its service's public key, in the folder
	// unless absolute.
	Attest map[string]string `toml:"attest,omitempty"`
}

// Limits bounds what peers may do; 0 = the default (docs/operations.md). Rates
// are calls a second of this process.
type Limits struct {
	Address        float64 `toml:"address_rate,omitzero"` // of one address
	App            float64 `toml:"app_rate,omitzero"`     // of one app
	Device         float64 `toml:"device_rate,omitzero"`  // of one device
	Policy         float64 `toml:"policy_rate,omitzero"`  // uncounted reads of one device
	TriesPerMinute uint8   `toml:"tries_per_minute,omitzero"`
}

// Store names the storage backend. A secret setting x is never written here:
// x_file names the file that holds it.
type Store struct {
	Name     string            `toml:"name"`
	Settings map[string]string `toml:"settings"`
}

// DefaultListen is loopback: an operator opens SS-CC to others on purpose.
const DefaultListen = "127.0.0.1:7443"

// DefaultHosts are in the certificate when Init is told no others.
var DefaultHosts = []string{"localhost", "127.0.0.1", "::1"}

// DefaultDrain is how long requests under way may take when SS-CC ends.
const DefaultDrain = 10 * time.Second

func (c *Config) fill() {
	if c.Listen == "" {
		c.Listen = DefaultListen
	}
	if len(c.Hosts) == 0 {
		c.Hosts = DefaultHosts
	}
	if c.Log == "" {
		c.Log = "info"
	}
	if c.Drain == "" {
		c.Drain = DefaultDrain.String()
	}
	if c.Level == 0 {
		c.Level = 1
	}
	if c.Backend.Name == "" {
		c.Backend.Name = "badger"
	}
}

// maxProtected bounds host_protected, which status prints.
const maxProtected = 200

// Claim is the level configured and who vouches for the host's protection.
func (f Folder) Claim(op string) (level int, protected string, err error) {
	c, err := f.loadConfig(op)
	if err != nil {
		return 0, "", err
	}
	return c.Level, c.Protected, nil
}

// check refuses what no start could make good.
// req: K-12.1-L2c
func (c *Config) check() error {
	const op = "ss-cc: configuration"
	if c.Version != 1 {
		return core.Errorf(core.Unsupported, op, "version %d, want 1", c.Version)
	}
	if _, err := net.ResolveTCPAddr("tcp", c.Listen); err != nil {
		return core.Errorf(core.Usage, op, "listen %q: want address:port", c.Listen)
	}
	if _, err := net.ResolveTCPAddr("tcp", c.Metrics); c.Metrics != "" && err != nil {
		return core.Errorf(core.Usage, op, "metrics %q: want address:port", c.Metrics)
	}
	for _, h := range c.Hosts {
		if h == "" || strings.ContainsAny(h, " /:") && net.ParseIP(h) == nil {
			return core.Errorf(core.Usage, op, "host %q: want a name or an address without a port", h)
		}
	}
	if c.Level != 1 && c.Level != 2 {
		return core.Errorf(core.Usage, op, "level %d, want 1 or 2", c.Level)
	}
	if len(c.Protected) > maxProtected || strings.ContainsFunc(c.Protected, unicode.IsControl) {
		return core.Errorf(core.Usage, op, "host_protected: want one line of at most %d bytes", maxProtected)
	}
	if c.Level == 2 && c.Protected == "" {
		return core.Errorf(core.Policy, op, "level 2 wants the host physically protected: go through the checklist of docs/admin-guide.md, then say in host_protected who did and when")
	}
	if _, err := logLevel(c.Log); err != nil {
		return err
	}
	if d, err := time.ParseDuration(c.Drain); err != nil || d < 0 || d > time.Hour {
		return core.Errorf(core.Usage, op, "drain %q: want a duration up to 1h", c.Drain)
	}
	for name, rate := range map[string]float64{"address_rate": c.Limits.Address, "app_rate": c.Limits.App, "device_rate": c.Limits.Device, "policy_rate": c.Limits.Policy} {
		if rate < 0 || rate > 1e9 || rate != rate {
			return core.Errorf(core.Usage, op, "limits.%s %g: want calls a second, above 0", name, rate)
		}
	}
	for platform, file := range c.Attest {
		if platform == "" || len(platform) > protocol.MaxPlatform || strings.ContainsAny(platform, "= ") || file == "" {
			return core.Errorf(core.Usage, op, "attest.%q: want a platform's name of at most %d bytes without = and spaces, and a file", platform, protocol.MaxPlatform)
		}
	}
	return nil
}

func (c *Config) drain() time.Duration {
	d, _ := time.ParseDuration(c.Drain) // check saw it
	return d
}

// configHead explains the file to whoever opens it.
const configHead = `# SS-CC's configuration, read when ` + "`keposs ss-cc serve`" + ` starts.
# docs/operations.md explains every line.
`

// override applies the environment, then the flags, and tells whether the log
// level came from either.
func (c *Config) override(o ServeOptions) (level bool) {
	for _, v := range []struct {
		name, flag string
		to         *string
	}{
		{"KEPOSS_SSCC_LISTEN", o.Listen, &c.Listen},
		{"KEPOSS_SSCC_METRICS", o.Metrics, &c.Metrics},
		{"KEPOSS_SSCC_DRAIN", "", &c.Drain},
		{"KEPOSS_SSCC_AUDIT_HEAD", "", &c.Head},
		{"KEPOSS_SSCC_LOG", o.Log, &c.Log},
	} {
		value := v.flag
		if value == "" && o.Getenv != nil {
			value = o.Getenv(v.name)
		}
		if value != "" {
			*v.to = value
			level = v.to == &c.Log
		}
	}
	return level
}

// head is where the audit log's head is kept.
func (f Folder) head(c *Config) string {
	if c.Head != "" {
		return c.Head
	}
	return f.path(headFile)
}

func (c *Config) marshal() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(configHead)
	e := toml.NewEncoder(&b)
	e.Indent = ""
	if err := e.Encode(c); err != nil {
		return nil, core.Errorf(core.Internal, "ss-cc: configuration", "%w", err)
	}
	return b.Bytes(), nil
}

// loadConfig reads config.toml; State when the folder was never set up.
func (f Folder) loadConfig(op string) (*Config, error) {
	b, err := f.read(op, configFile)
	if core.CodeOf(err) == core.NotFound {
		return nil, f.missing(op)
	}
	if err != nil {
		return nil, err
	}
	c := &Config{}
	meta, err := toml.Decode(string(b), c)
	if err != nil {
		return nil, core.Errorf(core.Invalid, op, "%s: %w", f.path(configFile), err)
	}
	if more := meta.Undecoded(); len(more) > 0 {
		return nil, core.Errorf(core.Invalid, op, "%s: unknown setting %q", f.path(configFile), more[0].String())
	}
	c.fill()
	return c, c.check()
}

// ParseSettings reads a backend's settings: a flat TOML table of names and
// values.
func ParseSettings(b []byte) (map[string]string, error) {
	const op = "ss-cc: backend settings"
	var table map[string]any
	if _, err := toml.Decode(string(b), &table); err != nil {
		return nil, core.Errorf(core.Invalid, op, "%w", err)
	}
	out := map[string]string{}
	for name, v := range table {
		switch v := v.(type) {
		case string:
			out[name] = v
		case int64:
			out[name] = strconv.FormatInt(v, 10)
		case bool, float64:
			out[name] = fmt.Sprint(v)
		default:
			return nil, core.Errorf(core.Invalid, op, "%s: want a text, a number, true or false", name)
		}
	}
	return out, nil
}
