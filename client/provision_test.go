package client

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/keposs/keposs/client/clienttest"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/core/sscc"
)

// devices counts what SS-CC has enrolled for the app.
func devices(t testing.TB, e *clienttest.Escrow) (n int) {
	t.Helper()
	e.As(t, func(tok sscc.Token) error {
		list, err := e.Core.Devices(context.Background(), tok, e.App)
		n = len(list)
		return err
	})
	return n
}

// req: K-17.1-05
func TestProvision(t *testing.T) {
	e := clienttest.New(t)
	ctx := t.Context()
	dir := filepath.Join(t.TempDir(), "terminal")
	ticket := e.Ticket(t)
	b, err := Provision(ctx, dir, ticket)
	if err != nil {
		t.Fatal(err)
	}
	if b.App != e.App || b.Endpoint != e.Endpoint {
		t.Errorf("binding %+v", b)
	}
	if again, err := Provision(ctx, dir, ticket); err != nil || again != b {
		t.Errorf("the same ticket again: %+v, %v", again, err)
	}
	if _, err := Provision(ctx, dir, e.Ticket(t)); !errors.Is(err, core.State) {
		t.Errorf("another ticket in a provisioned folder: %v", err)
	}
	if _, err := Provision(ctx, filepath.Join(t.TempDir(), "other"), ticket); !errors.Is(err, core.Refused) {
		t.Errorf("a spent ticket on another terminal: %v", err)
	}
	if _, err := Provision(ctx, filepath.Join(t.TempDir(), "x"), []byte("no ticket")); !errors.Is(err, core.Invalid) {
		t.Errorf("no ticket at all: %v", err)
	}
	if n := devices(t, e); n != 1 {
		t.Errorf("%d devices enrolled, want 1", n)
	}
}

// Interrupted anywhere, the same ticket completes with one device.
// req: K-17.1-05, K-17.1-D1
func TestProvisionAfterCrash(t *testing.T) {
	for _, c := range []struct {
		name  string
		crash func(t *testing.T, e *clienttest.Escrow, f *folder, keys mstcc.KeyStore, ticket []byte)
	}{
		{"key stored, note not written", func(t *testing.T, _ *clienttest.Escrow, f *folder, keys mstcc.KeyStore, ticket []byte) {
			if _, err := f.prepareDevice(t.Context(), keys, ticketID(t, ticket), sm.Rand()); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(f.path(enrollingFile)); err != nil {
				t.Fatal(err)
			}
		}},
		{"note written, not enrolled", func(t *testing.T, _ *clienttest.Escrow, f *folder, keys mstcc.KeyStore, ticket []byte) {
			if _, err := f.prepareDevice(t.Context(), keys, ticketID(t, ticket), sm.Rand()); err != nil {
				t.Fatal(err)
			}
		}},
		{"note of a run with another ticket", func(t *testing.T, _ *clienttest.Escrow, f *folder, keys mstcc.KeyStore, _ []byte) {
			if _, err := f.prepareDevice(t.Context(), keys, randomID(t), sm.Rand()); err != nil {
				t.Fatal(err)
			}
		}},
		{"enrolled, binding not written", func(t *testing.T, e *clienttest.Escrow, f *folder, keys mstcc.KeyStore, ticket []byte) {
			b, err := Provision(t.Context(), f.dir, ticket)
			if err != nil {
				t.Fatal(err)
			}
			note := enrolling{Version: 1, Ticket: b.Ticket, Device: b.Device, Key: b.DeviceKey}
			if err := errors.Join(f.writeJSON(enrollingFile, note), os.Remove(f.path(bindingFile))); err != nil {
				t.Fatal(err)
			}
		}},
		{"binding written, note not removed", func(t *testing.T, e *clienttest.Escrow, f *folder, keys mstcc.KeyStore, ticket []byte) {
			b, err := Provision(t.Context(), f.dir, ticket)
			if err != nil {
				t.Fatal(err)
			}
			if err := f.writeJSON(enrollingFile, enrolling{Version: 1, Ticket: b.Ticket, Device: b.Device, Key: b.DeviceKey}); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := clienttest.New(t)
			f, err := openFolder(filepath.Join(t.TempDir(), "terminal"))
			if err != nil {
				t.Fatal(err)
			}
			keys, err := mstcc.NewFileKeyStore(f.keys())
			if err != nil {
				t.Fatal(err)
			}
			ticket := e.Ticket(t)
			c.crash(t, e, f, keys, ticket)
			if _, err := Provision(t.Context(), f.dir, ticket); err != nil {
				t.Fatal(err)
			}
			if n := devices(t, e); n != 1 {
				t.Errorf("%d devices enrolled, want 1", n)
			}
			if _, err := os.Stat(f.path(enrollingFile)); !os.IsNotExist(err) {
				t.Errorf("the note stays: %v", err)
			}
			cl := opened(t, f.dir, right)
			if _, err := cl.Initialize(t.Context(), InitRequest{}); err != nil {
				t.Errorf("the terminal does not work: %v", err)
			}
		})
	}
}

// ticketID reads the id of a ticket file.
func ticketID(t testing.TB, ticket []byte) ID {
	t.Helper()
	f, err := parseTicket(ticket)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Key.Wipe()
	return f.ID
}
