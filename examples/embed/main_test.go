package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keposs/keposs/client/clienttest"
)

// The example as a person runs it, against a real SS-CC: the first run makes
// the user, the second one only signs.
func TestEmbed(t *testing.T) {
	dir := t.TempDir()
	ticket, file := filepath.Join(dir, "app.ticket"), filepath.Join(dir, "contract")
	if err := os.WriteFile(ticket, clienttest.New(t).Ticket(t), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("I sell you my house.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const gesture, pin = "1-6-7-2-9-4\n", "271828\n"
	types(t, gesture+gesture+pin+pin+gesture+pin+gesture+pin)
	if err := run(t.Context(), filepath.Join(dir, "app"), ticket, file); err != nil {
		t.Fatal(err)
	}
	types(t, gesture+pin+gesture+pin)
	if err := run(t.Context(), filepath.Join(dir, "app"), "", file); err != nil {
		t.Fatal(err)
	}
	types(t, "")
	if err := run(t.Context(), filepath.Join(dir, "app"), "", file); err == nil || strings.Contains(err.Error(), "271828") {
		t.Errorf("nobody typed anything: %v", err)
	}
}

// types lets a person type text on standard input.
func types(t *testing.T, text string) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteString(text); err != nil { // a few lines fit any pipe
		t.Fatal(err)
	}
	_ = w.Close()
	was := os.Stdin
	os.Stdin = r
	t.Cleanup(func() {
		os.Stdin = was
		_ = r.Close()
	})
}
