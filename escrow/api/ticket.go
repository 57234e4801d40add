package api

import (
	"bytes"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

const (
	ticketVersion = "1"
	ticketKeySize = 32
	maxEndpoint   = 255
	maxTicket     = 64 << 10
)

// A Ticket is the file the administrator hands to one terminal: where SS-CC
// is, whom to believe, and one single-use key (the standard's pre-set channel
// key). The file is a secret until it was used; its owner wipes Key.
type Ticket struct {
	ID, App, Realm protocol.ID
	Endpoint       string         // host:port
	CA             string         // PEM bundle, or SystemCA
	Identity       sm.PublicKey   // SS-CC's identity key, to be pinned
	Key            *secret.Buffer // 32 bytes
	Expires        int64          // Unix seconds
}

// Marshal returns the file: canonical JSON text, one field a line, owned by
// the caller. A ticket without its endpoint or authority does not parse again.
func (t *Ticket) Marshal() *secret.Buffer {
	// The key is written in place: the buffer has its final size before.
	id := t.Identity.Compressed()
	head := "{\n" +
		line("keposs-ticket", ticketVersion) +
		line("endpoint", quote(t.Endpoint)) +
		line("realm", quote(t.Realm.String())) +
		line("app", quote(t.App.String())) +
		line("identity", quote(hex.EncodeToString(id[:]))) +
		line("expires", strconv.FormatInt(t.Expires, 10)) +
		line("ca", quote(t.CA)) +
		line("ticket", quote(t.ID.String())) +
		`  "key": "`
	const tail = "\"\n}\n"
	out := secret.New(len(head) + 2*t.Key.Len() + len(tail))
	n := copy(out.Bytes(), head)
	n += hex.Encode(out.Bytes()[n:], t.Key.Bytes())
	copy(out.Bytes()[n:], tail)
	return out
}

func line(name, value string) string { return `  "` + name + `": ` + value + ",\n" }

// quote is JSON's for text whose only special character is the line feed; what
// holds others is refused by ParseTicket.
func quote(s string) string { return `"` + strings.ReplaceAll(s, "\n", `\n`) + `"` }

// ParseTicket reads what Marshal made and nothing else; b is lent, the ticket's
// Key the caller's. The key never becomes a string. Errors: Invalid; TooLarge;
// Unsupported for another version.
func ParseTicket(b []byte) (*Ticket, error) {
	const op = "api: ticket"
	if len(b) > maxTicket {
		return nil, core.Errorf(core.TooLarge, op, "%d bytes, at most %d", len(b), maxTicket)
	}
	r := &ticketReader{rest: b}
	r.literal("{\n")
	version := r.field("keposs-ticket", ",\n")
	if r.bad == "" && string(version) != ticketVersion {
		return nil, core.Errorf(core.Unsupported, op, "this build reads version %s only", ticketVersion)
	}
	t := &Ticket{}
	t.Endpoint = r.text("endpoint", maxEndpoint)
	r.id("realm", &t.Realm)
	r.id("app", &t.App)
	var identity [33]byte
	r.hex("identity", identity[:], ",\n")
	t.Expires = r.number("expires")
	t.CA = r.text("ca", maxTicket)
	r.id("ticket", &t.ID)
	t.Key = secret.New(ticketKeySize)
	r.hex("key", t.Key.Bytes(), "\n")
	r.literal("}\n")
	if r.bad == "" && len(r.rest) > 0 {
		r.bad = "the end"
	}
	if r.bad != "" {
		t.Key.Wipe()
		return nil, core.Errorf(core.Invalid, op, "malformed at %s", r.bad)
	}
	var err error
	if t.Identity, err = sm.ParsePoint(identity[:]); err == nil {
		if _, _, err = splitEndpoint(t.Endpoint); err == nil && t.CA != SystemCA {
			_, err = parseCA(t.CA)
		}
	}
	if err != nil {
		t.Key.Wipe()
		return nil, core.Errorf(core.Invalid, op, "%w", err)
	}
	return t, nil
}

// ticketReader walks the canonical text. bad names the first field that is
// not as it must be.
type ticketReader struct {
	rest []byte
	bad  string
}

func (r *ticketReader) fail(at string) {
	if r.bad == "" {
		r.bad = at
	}
}

func (r *ticketReader) literal(s string) {
	if !bytes.HasPrefix(r.rest, []byte(s)) {
		r.fail(strconv.Quote(s))
		return
	}
	r.rest = r.rest[len(s):]
}

// field returns the value of a line, lent.
func (r *ticketReader) field(name, end string) []byte {
	r.literal(`  "` + name + `": `)
	i := bytes.Index(r.rest, []byte(end))
	if r.bad != "" || i < 0 {
		r.fail(name)
		return nil
	}
	v := r.rest[:i]
	r.rest = r.rest[i+len(end):]
	return v
}

// quoted returns what stands between the quotes, lent.
func (r *ticketReader) quoted(name, end string) []byte {
	v := r.field(name, end)
	if len(v) < 2 || v[0] != '"' || v[len(v)-1] != '"' {
		r.fail(name)
		return nil
	}
	return v[1 : len(v)-1]
}

// text reads printable ASCII whose only escape is \n.
func (r *ticketReader) text(name string, most int) string {
	v := r.quoted(name, ",\n")
	if bytes.ContainsRune(v, '\n') { // only as an escape
		r.fail(name)
	}
	s := strings.ReplaceAll(string(v), `\n`, "\n")
	for _, c := range []byte(s) {
		if c != '\n' && (c < ' ' || c > '~') || c == '"' || c == '\\' {
			r.fail(name)
		}
	}
	if s == "" || len(s) > most {
		r.fail(name)
	}
	return s
}

// hex reads exactly len(dst) bytes in lower-case digits.
func (r *ticketReader) hex(name string, dst []byte, end string) {
	v := r.quoted(name, end)
	if len(v) != 2*len(dst) || bytes.ContainsAny(v, "ABCDEF") {
		r.fail(name)
		return
	}
	if _, err := hex.Decode(dst, v); err != nil {
		r.fail(name)
	}
}

func (r *ticketReader) id(name string, id *protocol.ID) {
	r.hex(name, id[:], ",\n")
	if id.IsZero() {
		r.fail(name)
	}
}

func (r *ticketReader) number(name string) int64 {
	v := string(r.field(name, ",\n"))
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != v {
		r.fail(name)
	}
	return n
}
