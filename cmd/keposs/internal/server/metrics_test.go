package server

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sscc"
	"github.com/keposs/keposs/escrow/api"
	"github.com/keposs/keposs/escrow/memory"
)

// A monitoring system sees operations by name and code, the state, and whether
// terminals are served; nothing names a user, a device or an app.
func TestMetrics(t *testing.T) {
	ctx := context.Background()
	b := memory.New()
	if err := b.Configure(ctx, core.Config{}); err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	m := newMetrics()
	f := Folder(t.TempDir())
	s, err := f.newCore(&Config{}, b, slog.New(slog.DiscardHandler), m.observe(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	m.watch(s)
	h := httptest.NewServer(m.handler(s))
	defer h.Close()
	get := func(path string) (int, string) {
		t.Helper()
		r, err := http.Get(h.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, string(text)
	}
	if err := s.Start(ctx); err != nil {
		t.Fatal(err)
	}
	password := secret.Copy([]byte("correct horse battery"))
	if err := s.SetPassword(ctx, password, password.Clone()); err != nil {
		t.Fatal(err)
	}
	if code, text := get("/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(text, "SEALED") {
		t.Errorf("sealed: %d %s", code, text)
	}
	if code, _ := get("/livez"); code != http.StatusOK {
		t.Errorf("sealed and alive: %d", code)
	}
	if err := s.Unseal(ctx, password); err != nil {
		t.Fatal(err)
	}
	if code, text := get("/readyz"); code != http.StatusOK {
		t.Errorf("unsealed: %d %s", code, text)
	}
	tok, err := s.Login(ctx, password)
	if err != nil {
		t.Fatal(err)
	}
	app, err := s.CreateApp(ctx, tok, sscc.AppRequest{Name: "very-private-name"})
	if err != nil {
		t.Fatal(err)
	}
	m.observe(slog.New(slog.DiscardHandler))("fetch", core.Auth, time.Millisecond)
	_, text := get("/metrics")
	for _, want := range []string{`keposs_state{state="SERVING"} 1`, `keposs_state{state="SEALED"} 0`, `keposs_operations_total{code="auth",op="fetch"} 1`, "keposs_operation_seconds_bucket", "go_goroutines"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	for _, secret := range []string{app.String(), "very-private-name"} {
		if strings.Contains(text, secret) {
			t.Errorf("the metrics name %s", secret)
		}
	}
	if code, _ := get("/debug/pprof/"); code != http.StatusNotFound {
		t.Errorf("a debug page is served: %d", code)
	}
}

// Reload takes over level and certificate, or nothing.
func TestReload(t *testing.T) {
	f := Folder(t.TempDir() + "/new")
	if err := f.make("test"); err != nil {
		t.Fatal(err)
	}
	renew := func(level string) {
		t.Helper()
		c := &Config{Version: 1, Log: level}
		c.fill()
		if err := f.writeFiles("test", c); err != nil {
			t.Fatal(err)
		}
	}
	renew("info")
	var said bytes.Buffer
	r := &settled{folder: f, log: slog.New(slog.NewJSONHandler(&said, nil))}
	first, err := f.tls("test")
	if err != nil {
		t.Fatal(err)
	}
	r.tls.Store(first)
	outer := r.outer()
	leaf := func() string {
		c, err := outer.GetConfigForClient(nil)
		if err != nil {
			t.Fatal(err)
		}
		return string(c.Certificates[0].Certificate[0])
	}
	before := leaf()
	renew("debug")
	r.reload(t.Context())
	if r.level.Level() != slog.LevelDebug || leaf() == before {
		t.Errorf("level %s, same certificate %v: %s", r.level.Level(), leaf() == before, said.String())
	}
	after := leaf()
	renew("warn")
	if err := os.WriteFile(f.path(keyFile), []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.reload(t.Context())
	if r.level.Level() != slog.LevelDebug || leaf() != after || !strings.Contains(said.String(), "nothing changed") {
		t.Errorf("a bad key: level %s: %s", r.level.Level(), said.String())
	}
	renew("warn")
	r.fixed = true
	r.reload(t.Context())
	if r.level.Level() != slog.LevelDebug {
		t.Errorf("a level given by flag changed to %s", r.level.Level())
	}
	if _, err := api.ServerTLS([]byte("x"), []byte("y")); core.CodeOf(err) != core.Invalid {
		t.Errorf("control: %v", err)
	}
}

// Flags win over the environment, the environment over the file.
func TestOverride(t *testing.T) {
	env := map[string]string{"KEPOSS_SSCC_LISTEN": "env:1", "KEPOSS_SSCC_LOG": "warn", "KEPOSS_SSCC_DRAIN": "1s"}
	c := &Config{Listen: "file:1", Log: "info", Drain: "10s", Metrics: "file:2"}
	if !c.override(ServeOptions{Listen: "flag:1", Getenv: func(k string) string { return env[k] }}) {
		t.Error("the level came from the environment")
	}
	if c.Listen != "flag:1" || c.Log != "warn" || c.Drain != "1s" || c.Metrics != "file:2" {
		t.Errorf("%+v", c)
	}
	if c.override(ServeOptions{Listen: "x"}) {
		t.Error("the level came from nowhere")
	}
}
