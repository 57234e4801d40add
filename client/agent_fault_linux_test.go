package client

import (
	"errors"
	"strings"
	"testing"

	"github.com/keposs/keposs/client/clienttest"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
)

// A panic in a service of the agent, wherever it is, is ERROR: the app hears of a
// fault and not what it held, the log has the place, nothing is served, and the
// self-tests lead back. The agent lives on.
// req: F-33, F-38, F-47, G-7.6-03
func TestAgentOutlivesAPanic(t *testing.T) {
	dir := provisioned(t, clienttest.New(t))
	at := 0
	socket, _ := agentOf(t, dir, func(o *AgentOptions) {
		o.Events = func(_ string, e Event) {
			if at != 0 && e.Step == at {
				at = 0
				panic("what the service held")
			}
		}
	})
	c := atAgent(t, socket, right)
	at = 4 // the key pairs are there
	if _, err := c.Initialize(t.Context(), InitRequest{}); !errors.Is(err, core.Internal) || c.State() != mstcc.Error {
		t.Errorf("initialised over a panic: %v, %s", err, c.State())
	}
	if _, err := c.SelfTest(t.Context()); err != nil || c.State() != mstcc.Init {
		t.Fatalf("self-tests after it: %v, %s", err, c.State())
	}
	if _, err := c.Initialize(t.Context(), InitRequest{}); err != nil {
		t.Fatal(err)
	}
	for _, step := range []int{1, 2, 5, 6} {
		at = step
		err := signs(c)
		if !errors.Is(err, core.Internal) || c.State() != mstcc.Error || strings.Contains(err.Error(), "held") || !strings.Contains(err.Error(), "client.") {
			t.Errorf("step %d: %v, %s", step, err, c.State())
		}
		at = 0
		if err := signs(c); !errors.Is(err, NotReady) {
			t.Errorf("served after a panic in step %d: %v", step, err)
		}
		if _, err := c.SelfTest(t.Context()); err != nil || c.State() != mstcc.User {
			t.Errorf("self-tests after step %d: %v, %s", step, err, c.State())
		}
	}
	if err := signs(c); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	found := false
	for _, e := range logOf(t, dir) {
		found = found || e.Kind == "sign" && e.Code == "internal" && e.State == "ERROR" && strings.HasPrefix(e.Text, "a fault (string) in ")
		if strings.Contains(e.Text, "held") {
			t.Errorf("the log tells what was panicked with: %+v", e)
		}
	}
	if !found {
		t.Errorf("the log does not tell of the fault: %v", events(t, dir))
	}
}
