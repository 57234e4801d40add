package client

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
)

// Level 2 is never claimed for a module inside the app's own process. Self-test
// and status show the probes.
func TestLevel2IsNotClaimedInProcess(t *testing.T) {
	p := DefaultProfile()
	p.Level = 2
	if _, err := Open(t.Context(), Options{Dir: filepath.Join(t.TempDir(), "x"), Profile: p}); !errors.Is(err, core.Unsupported) {
		t.Errorf("level 2 in the app's process: %v", err)
	}
	c, err := Open(t.Context(), Options{Dir: filepath.Join(t.TempDir(), "x"), InProcess: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	list, err := c.SelfTest(t.Context())
	if err != nil || list[len(list)-1].Name != "P-16 clock" {
		t.Errorf("the self-test ends with %+v, %v", list[len(list)-1], err)
	}
	st, err := c.Status(t.Context(), false)
	if err != nil || len(st.Probes) != 14 || c.State() != mstcc.Factory {
		t.Errorf("%d probes in a quick look, %v", len(st.Probes), err)
	}
}
