package etcd

import (
	"crypto/tls"
	"net"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/internal/settings"
)

var schema = []core.ConfigField{
	{Name: "endpoints", Type: "string", Help: "host:port of the members, parted by commas; name every member."},
	{Name: "prefix", Type: "string", Default: "keposs/", Help: "Every key begins with it; stores with different prefixes share a cluster."},
	{Name: "user", Type: "string", Help: "User of the cluster, where it has authentication on; needs password."},
	{Name: "password", Type: "secret", Help: "The user's password."},
	{Name: "tls_ca", Type: "path", Help: "PEM file of the authorities that vouch for the members; needed unless all are on this machine."},
	{Name: "tls_cert", Type: "path", Help: "PEM file of the client's certificate; needs tls_key and tls_ca."},
	{Name: "tls_key", Type: "path", Help: "PEM file of the client's key."},
	{Name: "request_timeout", Type: "duration", Default: "5s", Help: "Longest wait for the answer to one request; then Indeterminate for a commit."},
	{Name: "max_txn_ops", Type: "int", Default: "128", Help: "The members' --max-txn-ops."},
	{Name: "max_request_kb", Type: "int", Default: "1024", Help: "Most KiB of one transaction; below the members' --max-request-bytes."},
}

type config struct {
	client   clientv3.Config
	prefix   string
	wait     time.Duration
	ops      int // operations of a transaction
	maxBytes int
}

// Bounds on noticing a member that is gone without a word.
const (
	dialWait      = 5 * time.Second
	keepAlive     = 5 * time.Second
	keepAliveWait = 3 * time.Second
)

func readConfig(op string, c core.Config) (config, error) {
	s := settings.Read(op, schema, c)
	list := s.Required("endpoints")
	out := config{
		prefix:   s.Required("prefix"),
		wait:     s.Duration("request_timeout", time.Millisecond, 10*time.Minute),
		ops:      int(s.Int("max_txn_ops", 8, 4096)),
		maxBytes: int(s.Int("max_request_kb", 128, 64<<10)) << 10,
	}
	if err := s.Err(); err != nil {
		return out, err
	}
	if len(out.prefix) > 64 {
		return out, core.Errorf(core.Invalid, op, "prefix of %d bytes, at most 64", len(out.prefix))
	}
	t, err := settings.TLSFiles(op, s.String("tls_ca"), s.String("tls_cert"), s.String("tls_key"))
	if err != nil {
		return out, err
	}
	user, password := s.String("user"), c.Secrets["password"]
	if (user == "") != (password.Len() == 0) {
		return out, core.Errorf(core.Invalid, op, "user and password go together: give password_file, a file that holds the password")
	}
	endpoints, err := members(op, list, t)
	if err != nil {
		return out, err
	}
	out.client = clientv3.Config{
		Endpoints: endpoints, TLS: t, DialTimeout: dialWait,
		DialKeepAliveTime: keepAlive, DialKeepAliveTimeout: keepAliveWait, PermitWithoutStream: true,
		MaxCallSendMsgSize: out.maxBytes + out.maxBytes/2,
		Logger:             zap.NewNop(), // what fails is told by the error of the call
		DialOptions:        []grpc.DialOption{grpc.WithStatsHandler(sends{})},
	}
	if user != "" { // the client takes strings only and keeps the password for later logins
		out.client.Username, out.client.Password = user, string(password.Bytes())
	}
	return out, nil
}

// members checks the list and refuses to talk to another machine without
// knowing who it is.
func members(op, list string, t *tls.Config) ([]string, error) {
	scheme := "http://"
	if t != nil {
		scheme = "https://"
	}
	var out []string
	for _, e := range strings.Split(list, ",") {
		e = strings.TrimSpace(e)
		host, port, err := net.SplitHostPort(e)
		if err != nil || host == "" || port == "" || strings.ContainsAny(e, "/@?# ") {
			return nil, core.Errorf(core.Invalid, op, "endpoints: want host:port, parted by commas, without a scheme")
		}
		if t == nil && !settings.Loopback(host) {
			return nil, core.Errorf(core.Invalid, op, "the connection to another machine would not be authenticated: set tls_ca")
		}
		out = append(out, scheme+e)
	}
	return out, nil
}
