package postgres

import (
	"crypto/tls"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/internal/settings"
)

var schema = []core.ConfigField{
	{Name: "dsn", Type: "secret", Help: "Connection string with user, password, hosts and database; as URL or key=value."},
	{Name: "schema", Type: "string", Default: "keposs", Help: "Schema of the tables; made if absent."},
	{Name: "tls_ca", Type: "path", Help: "PEM file of the authorities that vouch for the server; empty: what the DSN says."},
	{Name: "tls_cert", Type: "path", Help: "PEM file of the client's certificate; needs tls_key and tls_ca."},
	{Name: "tls_key", Type: "path", Help: "PEM file of the client's key."},
	{Name: "pool_max", Type: "int", Default: "8", Help: "Most connections at once."},
	{Name: "pool_min", Type: "int", Default: "1", Help: "Connections kept open when idle."},
	{Name: "acquire_timeout", Type: "duration", Default: "2s", Help: "Longest wait for a free connection; then Unavailable."},
	{Name: "query_timeout", Type: "duration", Default: "5s", Help: "Longest wait for the answer to one request; then Indeterminate for a commit."},
}

type config struct {
	pool           *pgxpool.Config
	schema         string
	acquire, query time.Duration
}

// connectWait bounds making a connection. It is apart from acquire_timeout: a
// caller who gave up leaves the connection to the next one.
const connectWait = 15 * time.Second

var schemaName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)

func readConfig(op string, c core.Config) (config, error) {
	s := settings.Read(op, schema, c)
	out := config{
		schema:  s.Required("schema"),
		acquire: s.Duration("acquire_timeout", time.Millisecond, 10*time.Minute),
		query:   s.Duration("query_timeout", time.Millisecond, 10*time.Minute),
	}
	most := s.Int("pool_max", 1, 1000)
	least := s.Int("pool_min", 0, 1000)
	if err := s.Err(); err != nil {
		return out, err
	}
	if !schemaName.MatchString(out.schema) {
		return out, core.Errorf(core.Invalid, op, "schema: want a letter, then letters, digits and _, all small, at most 40")
	}
	if least > most {
		return out, core.Errorf(core.Invalid, op, "pool_min %d is above pool_max %d", least, most)
	}
	dsn := c.Secrets["dsn"]
	if dsn.Len() == 0 {
		return out, core.Errorf(core.Invalid, op, "no dsn: give dsn_file, a file that holds the connection string")
	}
	// The driver takes strings only and keeps the password for later connections.
	pool, err := pgxpool.ParseConfig(string(dsn.Bytes()))
	if err != nil { // its text repeats the connection string
		return out, core.Errorf(core.Invalid, op, "the dsn does not parse; want postgres://user@host:port/database?sslmode=verify-full")
	}
	pool.MaxConns, pool.MinConns = int32(most), int32(least)
	pool.ConnConfig.ConnectTimeout = connectWait
	pool.ConnConfig.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite // a standby answers with the past
	pool.ConnConfig.OnNotice = heed
	p := pool.ConnConfig.RuntimeParams
	p["search_path"] = out.schema
	p["application_name"] = "keposs"
	p["default_transaction_isolation"] = "read committed"
	p["synchronous_commit"] = "on" // durable at acknowledgement whatever the server's default
	out.pool = pool
	if err := secure(op, &pool.ConnConfig.Config, s.String("tls_ca"), s.String("tls_cert"), s.String("tls_key")); err != nil {
		return out, err
	}
	return out, nil
}

// secure applies the TLS files and refuses to talk to another machine without
// knowing who it is.
func secure(op string, c *pgconn.Config, ca, cert, key string) error {
	t, err := settings.TLSFiles(op, ca, cert, key)
	if err != nil {
		return err
	}
	if t != nil {
		c.TLSConfig = forHost(t, c.Host)
		for _, f := range c.Fallbacks {
			f.TLSConfig = forHost(t, f.Host)
		}
	}
	if !vouched(c.Host, c.TLSConfig) {
		return unvouched(op)
	}
	for _, f := range c.Fallbacks {
		if !vouched(f.Host, f.TLSConfig) {
			return unvouched(op)
		}
	}
	return nil
}

func unvouched(op string) error {
	return core.Errorf(core.Invalid, op, "the connection to another machine would not be authenticated: set tls_ca, or sslmode=verify-full in the dsn")
}

func forHost(t *tls.Config, host string) *tls.Config {
	if socket(host) {
		return nil
	}
	t = t.Clone()
	t.ServerName = host
	return t
}

func socket(host string) bool { return strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") }

// vouched reports whether the server at host is this machine or has to show a
// certificate that is checked.
func vouched(host string, t *tls.Config) bool {
	if t != nil && (!t.InsecureSkipVerify || t.VerifyPeerCertificate != nil) {
		return true
	}
	return socket(host) || settings.Loopback(host)
}
