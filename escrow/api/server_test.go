package api_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sscc"
	"github.com/keposs/keposs/escrow/api"
	"github.com/keposs/keposs/escrow/api/internal/wire"
)

// codeOf is the keposs code in the detail of a status.
func codeOf(err error) core.Code {
	s, _ := status.FromError(err)
	for _, d := range s.Details() {
		if m, ok := d.(*wire.Error); ok {
			return core.Code(m.GetCode())
		}
	}
	return core.Unknown
}

// req: K-17.1-05
func TestEnrol(t *testing.T) {
	t.Parallel()
	s := newStation(t, nil)
	k := s.ticket()
	device, key := newID(), newKey(t)
	wrong := *k
	wrong.Key = secret.Copy(bytes.Repeat([]byte{1}, 32))
	unknown := *k
	unknown.ID = newID()
	otherApp := *k
	otherApp.App = newID()
	texts := map[string]bool{}
	for name, bad := range map[string]*api.Ticket{"key": &wrong, "id": &unknown, "app": &otherApp} {
		err := api.Enrol(bg, bad, device, key.Public())
		if !errors.Is(err, core.Refused) {
			t.Errorf("wrong %s: %v, want refused", name, err)
		} else {
			texts[err.Error()] = true
		}
	}
	if len(texts) != 1 {
		t.Errorf("refusals differ: %v", texts)
	}
	s.must(api.Enrol(bg, k, device, key.Public()))
	s.must(api.Enrol(bg, k, device, key.Public())) // a lost answer: the same again
	if err := api.Enrol(bg, k, newID(), newKey(t).Public()); !errors.Is(err, core.Refused) {
		t.Errorf("a second device with the ticket: %v, want refused", err)
	}
	// An impostor with a certificate of the pinned authority, or the wrong
	// realm, does not know the ticket's key.
	forRealm := *s.ticket()
	forRealm.Realm = newID()
	if err := api.Enrol(bg, &forRealm, newID(), key.Public()); !errors.Is(err, core.Integrity) {
		t.Errorf("another realm: %v, want integrity", err)
	}
	if err := api.Enrol(bg, k, protocol.ID{}, key.Public()); !errors.Is(err, core.Usage) {
		t.Errorf("no device: %v, want usage", err)
	}
	gone := *k
	gone.Endpoint = "127.0.0.1:1"
	if err := api.Enrol(bg, &gone, device, key.Public()); !errors.Is(err, core.Unavailable) {
		t.Errorf("nobody there: %v, want unavailable", err)
	}
	s.clock.move(30 * 24 * time.Hour)
	expired := s.ticket()
	s.clock.move(30 * 24 * time.Hour)
	if err := api.Enrol(bg, expired, newID(), newKey(t).Public()); !errors.Is(err, core.Refused) {
		t.Errorf("an expired ticket: %v, want refused", err)
	}
}

// req: K-10.3-01
func TestAdmin(t *testing.T) {
	t.Parallel()
	s := newStation(t, nil)
	p := s.phone()
	_, user := p.initialise(protocol.ModePlain)

	stranger, err := api.DialAdmin(bg, s.addr, string(s.cert.CAPEM))
	s.must(err)
	defer stranger.Close()
	i, err := stranger.Info(bg)
	s.must(err)
	if !i.SetUp || i.Realm != s.realm || i.Identity != s.id || i.State != string(s.core.State()) || i.Oldest != 1 || i.Newest != 1 {
		t.Errorf("info %+v", i)
	}
	if _, err := stranger.Apps(bg); !errors.Is(err, core.Auth) {
		t.Errorf("apps without a login: %v, want auth", err)
	}
	if err := stranger.Login(bg, secret.Copy([]byte("a wrong password"))); !errors.Is(err, core.Auth) {
		t.Errorf("a wrong password: %v, want auth", err)
	}
	if err := stranger.Login(bg, secret.New(1025)); !errors.Is(err, core.TooLarge) {
		t.Errorf("a long password: %v, want too-large", err)
	}

	a := s.admin()
	next, err := api.DialAdmin(bg, s.addr, string(s.cert.CAPEM)) // the command line's next run
	s.must(err)
	defer next.Close()
	next.SetToken(a.Token())
	a = next
	app, err := a.CreateApp(bg, sscc.AppRequest{Name: "second", Limit: 3, Destroy: true})
	s.must(err)
	apps, err := a.Apps(bg)
	s.must(err)
	found := false
	for _, x := range apps {
		found = found || x.ID == app && x.Name == "second" && x.Limit == 3 && x.Destroy && !x.Revoked && x.Created > 0
	}
	if !found || len(apps) != 2 {
		t.Errorf("apps %+v", apps)
	}
	devices, err := a.Devices(bg, p.peer.App)
	s.must(err)
	if len(devices) != 1 || devices[0].ID != p.peer.Device || devices[0].App != p.peer.App {
		t.Errorf("devices %+v", devices)
	}
	users, more, err := a.Users(bg, nil, 10)
	s.must(err)
	if len(users) != 1 || users[0].ID != user.User || more != nil {
		t.Errorf("users %+v, next %x", users, more)
	}
	s.must(a.LockUser(bg, p.peer.App, user.User))
	if u, err := a.FindUser(bg, user.User); err != nil || u.State != "locked" {
		t.Errorf("locked: %+v, %v", u, err)
	}
	s.must(a.UnlockUser(bg, p.peer.App, user.User))
	if u, err := a.FindUser(bg, user.User); err != nil || u.State != "active" || u.UnlockSeq != 1 {
		t.Errorf("unlocked: %+v, %v", u, err)
	}
	if _, err := a.FindUser(bg, newID()); !errors.Is(err, core.NotFound) {
		t.Errorf("a user that is not there: %v, want not-found", err)
	}
	d, err := a.Describe(bg)
	s.must(err)
	if d.Realm != s.realm || d.Apps != 2 {
		t.Errorf("description %+v", d)
	}
	events, err := a.AuditPage(bg, 0, 1000)
	s.must(err)
	if len(events) < 5 {
		t.Errorf("%d audit events", len(events))
	}
	if _, err := a.VerifyAudit(bg); err != nil {
		t.Errorf("audit verify: %v", err)
	}
	s.must(a.RemoveUser(bg, p.peer.App, user.User))
	s.must(a.RevokeApp(bg, app))
	old := a.Token()
	s.must(a.Logout(bg))
	a.SetToken(old)
	if _, err := a.Apps(bg); !errors.Is(err, core.Auth) {
		t.Errorf("after logout: %v, want auth", err)
	}
	s.must(a.Login(bg, password()))
	s.must(a.Seal(bg))
	if i, err := stranger.Info(bg); err != nil || i.State != string(sscc.Sealed) {
		t.Errorf("sealed: %+v, %v", i, err)
	}
	s.must(a.Unseal(bg, password()))
	if i, err := stranger.Info(bg); err != nil || i.State == string(sscc.Sealed) {
		t.Errorf("unsealed: %+v, %v", i, err)
	}
}

// What is no method, no version, no point or too large is refused with its
// code, and nothing else is served on the port.
// req: K-6-01, G-7.5-05, G-7.3-05
func TestStrangers(t *testing.T) {
	t.Parallel()
	s := newStation(t, nil)
	p := s.phone()
	cc := s.bare()
	if err := cc.Invoke(bg, "/keposs.sscc.v1.Session/Steal", &wire.Empty{}, &wire.Empty{}); codeOf(err) != core.Unsupported && status.Code(err).String() != "Unimplemented" {
		t.Errorf("an unknown method: %v", err)
	}
	if err := cc.Invoke(bg, "/grpc.reflection.v1.ServerReflection/X", &wire.Empty{}, &wire.Empty{}); codeOf(err) != core.Unsupported {
		t.Errorf("an unknown service: %v", err)
	}
	hello := func(h *wire.Hello) error {
		stream, err := wire.NewSessionClient(cc).Exchange(bg)
		s.must(err)
		_ = stream.Send(&wire.ExchangeUp{Step: &wire.ExchangeUp_Hello{Hello: h}})
		_, err = stream.Recv()
		return err
	}
	r := newKey(t).Public().Compressed()
	app, device := p.peer.App, p.peer.Device
	for name, c := range map[string]struct {
		h    *wire.Hello
		want core.Code
	}{
		"version 2":   {&wire.Hello{Version: 2, App: app[:], Device: device[:], R: r[:]}, core.Unsupported},
		"version 0":   {&wire.Hello{App: app[:], Device: device[:], R: r[:]}, core.Unsupported},
		"short app":   {&wire.Hello{Version: 1, App: app[:4], Device: device[:], R: r[:]}, core.Invalid},
		"no point":    {&wire.Hello{Version: 1, App: app[:], Device: device[:], R: make([]byte, 33)}, core.Invalid},
		"short point": {&wire.Hello{Version: 1, App: app[:], Device: device[:], R: r[:32]}, core.Invalid},
	} {
		if got := codeOf(hello(c.h)); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	for name, q := range map[string]*wire.SealedRequest{
		"empty":     {},
		"no ticket": {Sealed: make([]byte, 100)},
		"garbage":   {Ticket: make([]byte, 200), Sealed: make([]byte, 100)},
		"too large": {Ticket: make([]byte, 200), Sealed: make([]byte, 128<<10+1)},
		"larger":    {Ticket: make([]byte, 200), Sealed: make([]byte, 256<<10)},
	} {
		want := core.Auth
		if len(q.GetSealed()) > 128<<10 {
			want = core.TooLarge
		}
		if _, err := wire.NewSessionClient(cc).Call(bg, q); codeOf(err) != want {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
	if _, err := wire.NewSessionClient(cc).Call(bg, &wire.SealedRequest{Sealed: make([]byte, 1<<20)}); status.Code(err).String() != "ResourceExhausted" {
		t.Errorf("1 MiB: %v", err)
	}
	for _, path := range []string{"/", "/debug/vars", "/debug/pprof/", "/metrics"} {
		client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots(t, s)}}, Timeout: 5 * time.Second}
		if resp, err := client.Get("https://" + s.addr + path); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode < 400 {
				t.Errorf("GET %s: %s", path, resp.Status)
			}
		}
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	s := newStation(t, nil)
	h := healthpb.NewHealthClient(s.bare())
	check := func(when string, want healthpb.HealthCheckResponse_ServingStatus) {
		t.Helper()
		for _, name := range []string{"", "keposs.sscc.v1.Session"} {
			r, err := h.Check(bg, &healthpb.HealthCheckRequest{Service: name})
			if err != nil || r.GetStatus() != want {
				t.Errorf("%s, %q: %s, %v", when, name, r.GetStatus(), err)
			}
		}
	}
	check("serving", healthpb.HealthCheckResponse_SERVING)
	if _, err := h.Check(bg, &healthpb.HealthCheckRequest{Service: "other"}); codeOf(err) != core.NotFound {
		t.Errorf("another service: %v", err)
	}
	w, err := h.Watch(bg, &healthpb.HealthCheckRequest{})
	s.must(err)
	r, err := w.Recv()
	if err != nil || r.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("watch: %s, %v", r.GetStatus(), err)
	}
	a := s.admin()
	s.must(a.Seal(bg))
	check("sealed", healthpb.HealthCheckResponse_NOT_SERVING)
	if r, err = w.Recv(); err != nil || r.GetStatus() != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Errorf("watch after the seal: %s, %v", r.GetStatus(), err)
	}
	s.must(a.Unseal(bg, password()))
	if r, err = w.Recv(); err != nil || r.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("watch after the unseal: %s, %v", r.GetStatus(), err)
	}
	start := time.Now()
	s.down() // a watcher does not hold up the drain
	if took := time.Since(start); took > 1900*time.Millisecond {
		t.Errorf("shutdown with a watcher took %s: it waited out the drain", took)
	}
}

// A peer that stops half-way through a key exchange is cut by Shutdown's drain,
// a call that finishes in time is not.
func TestDrain(t *testing.T) {
	t.Parallel()
	s := newStation(t, nil)
	p := s.phone()
	stream, err := wire.NewSessionClient(s.bare()).Exchange(bg)
	s.must(err)
	r := newKey(t).Public().Compressed()
	s.must(stream.Send(&wire.ExchangeUp{Step: &wire.ExchangeUp_Hello{Hello: &wire.Hello{Version: 1, App: p.peer.App[:], Device: p.peer.Device[:], R: r[:]}}}))
	_, err = stream.Recv()
	s.must(err)
	ctx, cancel := context.WithTimeout(bg, 50*time.Millisecond)
	defer cancel()
	if err := s.srv.Shutdown(ctx); !errors.Is(err, core.Indeterminate) {
		t.Errorf("shutdown with a peer half-way: %v, want indeterminate", err)
	}
	if _, err := stream.Recv(); err == nil {
		t.Error("the half-way exchange goes on after the shutdown")
	}
	s.must(<-s.ended)
	_ = s.core.Close()
	s.srv = nil
}

// lines collects a log.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// Nothing of a request or answer is logged, at the lowest level.
// req: K-15.4-03, K-15.4-02b
func TestLogHoldsNoContent(t *testing.T) {
	t.Parallel()
	out := &lines{}
	s := newStation(t, slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug - 4})))
	p := s.phone()
	m, user := p.initialise(protocol.ModeHardened)
	_, _, err := m.Sign(bg, []byte("m"), nil, mstcc.OpenOptions{}, types("right"))
	s.must(err)
	_, _, _ = m.Sign(bg, []byte("m"), nil, mstcc.OpenOptions{}, types("wrong"))
	s.desk(func(a *api.Admin) { _, _, err := a.Users(bg, nil, 10); s.must(err) })
	out.mu.Lock()
	log := out.b.String()
	out.mu.Unlock()
	for _, want := range []string{"evaluate", "Login", "prepare"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not name %q: it was not looked at", want)
		}
	}
	pub := p.key.Public().Compressed()
	for name, b := range map[string][]byte{"password": []byte(adminPassword), "user id": user.User[:], "device": p.peer.Device[:], "device key": pub[:], "pin": []byte("right")} {
		for form, s := range map[string]string{"text": string(b), "hex": hex.EncodeToString(b), "decimal": strings.Trim(fmt.Sprintf("%d", b), "[]")} {
			if strings.Contains(log, s) {
				t.Errorf("the log holds the %s as %s", name, form)
			}
		}
	}
}
