package face

import (
	"context"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/ppd/ppdtest"
)

// The fused query rests in a capture only until it is used or closed.
// Control: before that it is there.
func TestQueryWiped(t *testing.T) {
	s, err := New(nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	rests := func(v []float64) bool {
		for _, x := range v {
			if x != 0 {
				return true
			}
		}
		return false
	}
	for name, end := range map[string]func(c *capture) error{
		"closed": func(c *capture) error { return c.Close() },
		"used": func(c *capture) error {
			sec, err := c.Recover(ctx, core.RecoverRequest{Helper: make([]byte, HelperSize), BindKey: secret.New(32)})
			sec.Wipe()
			return err
		},
		"canceled": func(c *capture) error {
			done, cancel := context.WithCancel(ctx)
			cancel()
			sec, err := c.Recover(done, core.RecoverRequest{Helper: make([]byte, HelperSize), BindKey: secret.New(32)})
			if sec != nil || core.CodeOf(err) != core.Canceled {
				t.Errorf("a canceled recovery gives %v", err)
			}
			return nil
		},
	} {
		got, err := s.Capture(ctx, core.CaptureRequest{Label: "face", Format: 1}, ppdtest.Face(1))
		if err != nil {
			t.Fatal(err)
		}
		c := got.(*capture)
		if !rests(c.query) {
			t.Fatalf("%s: control: no query rests before the end", name)
		}
		if err := end(c); err != nil {
			t.Fatal(err)
		}
		if rests(c.query) {
			t.Errorf("%s: the query outlives the capture", name)
		}
	}
	shots := []Shot{{Z: []float64{1, 2}}, {Z: []float64{3}}}
	wipe(shots)
	if rests(shots[0].Z) || rests(shots[1].Z) {
		t.Error("captures are not wiped")
	}
}
