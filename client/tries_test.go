package client

import (
	"context"
	"errors"
	"testing"

	"github.com/keposs/keposs/client/clienttest"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/protocol"
)

// foreignTry makes one counted try with the terminal's device key from outside
// the module, as a thief of the key would.
func foreignTry(t *testing.T, c *Client, user protocol.ID) {
	t.Helper()
	ctx := context.Background()
	keys, err := mstcc.NewFileKeyStore(c.folder.keys())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := c.binding.dial(ctx, keys, deviceKeyName)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	pol, err := conn.Policy(ctx, protocol.PolicyRequest{User: user})
	if err != nil {
		t.Fatal(err)
	}
	device, err := c.binding.deviceKey(keys)
	if err != nil {
		t.Fatal(err)
	}
	_, err = conn.Evaluate(ctx, protocol.EvaluateRequest{User: user, Gen: pol.Gen, Attempt: randomID(t), Blinded: device.Compressed()})
	if errors.Is(err, core.State) { // plain mode
		_, err = conn.Fetch(ctx, protocol.FetchRequest{User: user, Gen: pol.Gen, Attempt: randomID(t)})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Foreign tries stay over an open, are shown, and go by a new OPRF key alone.
// req: X-15
func TestClearTries(t *testing.T) {
	ctx := context.Background()
	for _, policy := range []string{DefaultPolicy, "pin | gesture"} { // a root direct, and wrapped
		t.Run(policy, func(t *testing.T) { clearTries(ctx, t, policy) })
	}
}

func clearTries(ctx context.Context, t *testing.T, policy string) {
	c := opened(t, provisioned(t, clienttest.New(t)), right)
	u, err := c.Initialize(ctx, InitRequest{Policy: policy})
	if err != nil {
		t.Fatal(err)
	}
	if gone, err := c.ClearTries(ctx); err != nil || len(gone) != 0 {
		t.Fatalf("nothing to clear: %v, %v", gone, err)
	}
	foreignTry(t, c, u.ID)
	if _, err := c.Sign(ctx, SignRequest{Message: []byte("m")}); err != nil {
		t.Fatal(err)
	}
	gone, err := c.ClearTries(ctx)
	if err != nil || len(gone) != 1 {
		t.Fatalf("dropped %v, %v, want the one foreign try", gone, err)
	}
	st, err := c.Status(ctx, true)
	if err != nil || st.ServerErr != nil || len(st.Foreign) != 0 || st.Server.Tries.Used != 0 || st.Used != 0 || st.Alarm {
		t.Fatalf("after clearing: %+v, %v", st, err)
	}
	if _, err := c.Sign(ctx, SignRequest{Message: []byte("m")}); err != nil {
		t.Error(err)
	}
}

// In plain mode only the administrator clears.
func TestClearTriesPlain(t *testing.T) {
	_, c, u := initialised(t, func(o *Options) { o.Profile.Mode = ModePlain })
	foreignTry(t, c, u.ID)
	if _, err := c.ClearTries(context.Background()); !errors.Is(err, core.Policy) {
		t.Errorf("%v, want policy", err)
	}
}
