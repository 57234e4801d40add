package server

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/keposs/keposs/client"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/escrow/memory"
	"github.com/keposs/keposs/internal/testenv"
	"github.com/keposs/keposs/plugins"
	"github.com/keposs/keposs/plugins/plugintest"
)

// The test binary is also the operator's storage plugin.
func TestMain(m *testing.M) {
	plugintest.Main(m, plugins.Registry{Backend: func(string) (core.Backend, error) { return &ours{Store: &memory.Store{}}, nil }})
}

// ours is a store whose version is the last byte of its image.
type ours struct{ *memory.Store }

func (o *ours) Describe(ctx context.Context) (core.BackendInfo, error) {
	i, err := o.Store.Describe(ctx)
	if err != nil {
		return i, err
	}
	i.Name = "ours"
	i.Version, err = testenv.SelfEnd()
	return i, err
}

func pinOurs(t *testing.T, p client.PinnedPlugins, version, settings string) {
	t.Helper()
	dir := t.TempDir()
	testenv.CopySelf(t, filepath.Join(dir, "ours"), version)
	r := client.PinRequest{Kind: plugins.KindBackend, Name: "ours", Version: version, Root: dir, Main: "ours", Settings: map[string]string{"path": settings}}
	if _, err := p.Pin(r); err != nil {
		t.Fatal(err)
	}
}

// SS-CC keeps its records in a storage plugin the operator pinned, and takes a
// new version of it over while it serves.
// req: K-10.1-02
func TestPinnedBackend(t *testing.T) {
	root := t.TempDir()
	f := Folder(filepath.Join(root, "ss-cc"))
	password := func(context.Context) (*secret.Buffer, error) {
		return secret.Copy([]byte("correct horse battery")), nil
	}
	if _, err := f.Init(t.Context(), InitOptions{Backend: Store{Name: "ours"}, Password: password}); core.CodeOf(err) != core.NotFound || !strings.Contains(err.Error(), "plugin pin") {
		t.Fatalf("a storage nobody pinned: %v", err)
	}
	where := filepath.Join(root, "records")
	pinOurs(t, f.Pinned(), "1", where)
	if _, err := f.Init(t.Context(), InitOptions{Backend: Store{Name: "ours"}, Password: password}); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(where); err != nil || st.Size() == 0 {
		t.Fatalf("the records are not where the pinned setting says: %v", err)
	}

	hup := make(chan os.Signal, 1)
	ready := make(chan Ready, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	pass, _ := password(ctx)
	var said bytes.Buffer
	ended := make(chan error, 1)
	go func() {
		ended <- f.Serve(ctx, ServeOptions{Listen: "127.0.0.1:0", Reload: hup, Password: pass, Stderr: &said, Ready: func(r Ready) { ready <- r }})
	}()
	select {
	case r := <-ready:
		if r.Backend != "ours" || r.State != "SERVING" {
			t.Fatalf("it serves %+v", r)
		}
	case err := <-ended:
		t.Fatal(err)
	}
	reloaded := func(n int) (l Listening) {
		t.Helper()
		hup <- syscall.SIGHUP
		for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			b, err := os.ReadFile(f.path(listeningFile))
			if err == nil && json.Unmarshal(b, &l) == nil && l.Reloads == n {
				return l
			}
		}
		t.Fatalf("no reload in a minute")
		return l
	}
	if l := reloaded(1); l.Plugin.Version != "1" || l.Plugin.Trust != "local" || l.Refused != "" {
		t.Errorf("nothing was pinned anew: %+v", l)
	}
	pinOurs(t, f.Pinned(), "2", where)
	second := reloaded(2)
	if second.Plugin.Version != "2" || second.Refused != "" || second.Plugin.PID == 0 {
		t.Errorf("after a new version: %+v", second)
	}
	pinOurs(t, f.Pinned(), "3", filepath.Join(root, "no", "such", "folder", "records"))
	if l := reloaded(3); l.Plugin.Version != "2" || l.Refused == "" {
		t.Errorf("a version with settings it refuses: %+v", l)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	// What was written through both versions opens again.
	pinOurs(t, f.Pinned(), "4", where)
	none := func(context.Context) (*secret.Buffer, error) {
		return nil, core.Errorf(core.Canceled, "test", "not asked")
	}
	if _, err := f.Init(t.Context(), InitOptions{Backend: Store{Name: "ours"}, Password: none}); core.CodeOf(err) != core.State {
		t.Errorf("set up again: %v", err)
	}
}
