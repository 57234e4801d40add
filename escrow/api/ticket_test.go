package api_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/escrow/api"
)

const goldenTicket = "testdata/v1/ticket.json"

func TestTicketGolden(t *testing.T) {
	b, err := os.ReadFile(goldenTicket)
	if err != nil {
		t.Fatal(err)
	}
	k, err := api.ParseTicket(b)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Key.Wipe()
	if k.Endpoint != "ss-cc.example:7443" || k.CA != api.SystemCA || k.Expires != 1800000000 {
		t.Errorf("endpoint %q, ca %q, expires %d", k.Endpoint, k.CA, k.Expires)
	}
	if k.Realm != (protocol.ID{0xa0, 15: 1}) || k.App != (protocol.ID{0xb0, 15: 2}) || k.ID != (protocol.ID{0xc0, 15: 3}) {
		t.Errorf("realm %s, app %s, ticket %s", k.Realm, k.App, k.ID)
	}
	if !bytes.Equal(k.Key.Bytes(), bytes.Repeat([]byte{0x5a}, 32)) {
		t.Error("the key is another")
	}
	if again := k.Marshal(); !bytes.Equal(again.Bytes(), b) {
		t.Errorf("marshals to\n%s", again.Bytes())
	}
	if s := fmt.Sprintf("%v %+v", k, *k); bytes.Contains([]byte(s), []byte("90 90 90")) || bytes.Contains([]byte(s), []byte("5a5a")) {
		t.Errorf("a ticket prints its key: %s", s)
	}
}

// ticket is one with a real authority.
func ticket(t testing.TB) *api.Ticket {
	t.Helper()
	cert, err := api.NewCertificate([]string{"127.0.0.1"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	id, err := sm.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &api.Ticket{ID: protocol.ID{1}, App: protocol.ID{2}, Realm: protocol.ID{3}, Endpoint: "[::1]:7443", CA: string(cert.CAPEM),
		Identity: id.Public(), Key: secret.New(32), Expires: time.Now().Unix()}
}

func TestTicketIsJSON(t *testing.T) {
	k := ticket(t)
	b := k.Marshal().Bytes()
	var v map[string]any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	if v["ca"] != k.CA || v["endpoint"] != k.Endpoint || v["keposs-ticket"] != 1.0 || len(v) != 9 {
		t.Errorf("as JSON: %v", v)
	}
	got, err := api.ParseTicket(b)
	if err != nil {
		t.Fatal(err)
	}
	if got.CA != k.CA || got.Identity != k.Identity || got.Expires != k.Expires {
		t.Error("another ticket came back")
	}
}

func TestTicketRefuses(t *testing.T) {
	good := ticket(t).Marshal().Bytes()
	edit := func(from, to string) []byte {
		if !bytes.Contains(good, []byte(from)) {
			t.Fatalf("the ticket has no %q", from)
		}
		return bytes.Replace(bytes.Clone(good), []byte(from), []byte(to), 1)
	}
	for name, c := range map[string]struct {
		b    []byte
		want core.Code
	}{
		"empty":           {nil, core.Invalid},
		"version 2":       {edit(`"keposs-ticket": 1`, `"keposs-ticket": 2`), core.Unsupported},
		"another space":   {edit(`"expires": `, `"expires":  `), core.Invalid},
		"a leading zero":  {edit(`"expires": `, `"expires": 0`), core.Invalid},
		"upper-case hex":  {edit(`"app": "02`, `"app": "0A`), core.Invalid},
		"zero app":        {edit(`"app": "02`, `"app": "00`), core.Invalid},
		"no port":         {edit(`[::1]:7443`, `[::1]`), core.Invalid},
		"no point":        {edit(`"identity": "0`, `"identity": "1`), core.Invalid},
		"a broken ca":     {edit(`BEGIN CERT`, `BEGIN BERT`), core.Invalid},
		"no verification": {edit(`"ca": "`, `"ca": "none`), core.Invalid},
		"trailing bytes":  {append(bytes.Clone(good), ' '), core.Invalid},
		"too long":        {append(bytes.Clone(good), make([]byte, 1<<16)...), core.TooLarge},
	} {
		if k, err := api.ParseTicket(c.b); !errors.Is(err, c.want) || k != nil {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	for n := range good {
		if _, err := api.ParseTicket(good[:n]); err == nil {
			t.Fatalf("cut to %d of %d bytes it parses", n, len(good))
		}
	}
}

func TestCertificate(t *testing.T) {
	c, err := api.NewCertificate([]string{"localhost", "127.0.0.1"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	defer c.KeyPEM.Wipe()
	if _, err := api.ServerTLS(c.CertPEM, c.KeyPEM.Bytes()); err != nil {
		t.Error(err)
	}
	other, err := api.NewCertificate([]string{"localhost"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := api.ServerTLS(c.CertPEM, other.KeyPEM.Bytes()); !errors.Is(err, core.Invalid) {
		t.Errorf("a key of another certificate: %v", err)
	}
	if _, err := api.NewCertificate(nil, time.Hour); !errors.Is(err, core.Usage) {
		t.Errorf("no host: %v", err)
	}
}

// What parses marshals back to the same bytes.
func FuzzTicket(f *testing.F) {
	b, err := os.ReadFile(goldenTicket)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(ticket(f).Marshal().Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := api.ParseTicket(b)
		if err != nil {
			return
		}
		if again := k.Marshal(); !bytes.Equal(again.Bytes(), b) {
			t.Errorf("marshals to\n%q from\n%q", again.Bytes(), b)
		}
	})
}
