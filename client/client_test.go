package client

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"

	"github.com/keposs/keposs/client/clienttest"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/sm"
)

// The whole API against a real SS-CC, with sources and KDF in plugin processes
// and inside the program.
// req: K-6-02, K-6.1-07, K-7.1-10, K-7.2-08, K-7.3-03, K-10.2-03, K-10.2-04, K-10.2-05, K-10.2-06, K-10.1-03, K-10.2-02, K-7.3-02, X-24, K-15.4-01
func TestJourney(t *testing.T) {
	for name, inProcess := range map[string]bool{"processes": false, "in-process": true} {
		t.Run(name, func(t *testing.T) { journey(t, inProcess) })
	}
}

func journey(t *testing.T, inProcess bool) {
	_, c, u := initialised(t, func(o *Options) { o.InProcess = inProcess })
	used(t, c, u)
}

// used runs every service on data of the API.
func used(t *testing.T, c *Client, u *Initialized) {
	ctx := t.Context()
	if u.Approved {
		t.Error("an image nobody signed gives approved results")
	}
	key, err := u.SignKey()
	if err != nil {
		t.Fatal(err)
	}
	message := []byte("pay 5 to bob")
	sig, err := c.Sign(ctx, SignRequest{Message: message})
	if err != nil {
		t.Fatal(err)
	}
	if !sm.Verify(key, message, []byte(sm.DefaultID), [64]byte(sig.Raw())) {
		t.Error("the signature does not verify with core/sm")
	}
	for form, b := range map[string][]byte{"DER": sig.DER(), "raw": sig.Raw()} {
		if ok, _, err := c.Verify(ctx, VerifyRequest{Message: message, Signature: b}); err != nil || !ok {
			t.Errorf("%s with the own key: %t, %v", form, ok, err)
		}
		if ok, _, err := c.Verify(ctx, VerifyRequest{Key: key, Message: []byte("pay 6"), Signature: b}); err != nil || ok {
			t.Errorf("%s over another message: %t, %v", form, ok, err)
		}
	}
	if ok, _, err := c.Verify(ctx, VerifyRequest{Message: message, Signature: []byte("nonsense")}); err != nil || ok {
		t.Errorf("a malformed signature: %t, %v", ok, err)
	}
	batch, err := c.SignBatch(ctx, [][]byte{[]byte("a"), []byte("b")}, SignRequest{ID: []byte("alice")})
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range []string{"a", "b"} {
		if !sm.Verify(key, []byte(m), []byte("alice"), [64]byte(batch[i].Raw())) {
			t.Errorf("signature %d of the batch", i)
		}
	}
	for _, form := range []Form{FormDER, FormRaw, FormEnvelope} {
		ct, out, err := c.Encrypt(ctx, message, PublicKey{}, form)
		if err != nil || out.Approved {
			t.Fatal(err)
		}
		plain, _, err := c.Decrypt(ctx, ct)
		if err != nil || !bytes.Equal(plain.Bytes(), message) {
			t.Errorf("form %d: %v", form, err)
		}
		plain.Wipe()
		ct[len(ct)-1] ^= 1
		if plain, _, err := c.Decrypt(ctx, ct); err == nil || plain != nil {
			t.Errorf("form %d altered: opened", form)
		}
	}
	for _, bad := range [][]byte{nil, {0x30, 0x01}, []byte("text"), make([]byte, MaxDirect+600)} {
		if _, _, err := c.Decrypt(ctx, bad); !errors.Is(err, core.Invalid) && !errors.Is(err, core.TooLarge) {
			t.Errorf("%d bytes that are no ciphertext: %v", len(bad), err)
		}
	}
	if _, _, err := c.Encrypt(ctx, message, PublicKey{}, FormUnknown); !errors.Is(err, core.Usage) {
		t.Errorf("unknown form: %v", err)
	}
	if _, _, err := c.Encrypt(ctx, nil, PublicKey{}, FormDER); !errors.Is(err, core.TooLarge) {
		t.Errorf("nothing to encrypt: %v", err)
	}
}

// In hardened mode the same API works, and the lock holds.
func TestHardened(t *testing.T) {
	_, c, u := initialised(t, func(o *Options) { o.Profile.Mode, o.Profile.Limit, o.InProcess = ModeHardened, 1, true })
	key, err := u.SignKey()
	if err != nil {
		t.Fatal(err)
	}
	sig, err := c.Sign(t.Context(), SignRequest{Message: []byte("m")})
	if err != nil {
		t.Fatal(err)
	}
	if !sm.Verify(key, []byte("m"), []byte(sm.DefaultID), [64]byte(sig.Raw())) {
		t.Error("the signature does not verify")
	}
	dir := c.folder.dir
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	stranger := opened(t, dir, wrong)
	if _, err := stranger.Sign(t.Context(), SignRequest{Message: []byte("m")}); !errors.Is(err, Auth) {
		t.Errorf("wrong PIN: %v", err)
	}
	if _, err := stranger.Sign(t.Context(), SignRequest{Message: []byte("m")}); !errors.Is(err, Locked) {
		t.Errorf("after the only try: %v", err)
	}
}

// A wrong factor is refused without saying which and counted; the lock holds
// over a restart; the administrator lifts it.
// req: K-5.3-02a, K-15.4-L2b, X-14, X-15, G-7.4-07
func TestWrongFactorsAndLock(t *testing.T) {
	e, c, u := initialised(t, func(o *Options) { o.Profile.Limit = 2 })
	ctx := t.Context()
	dir := c.folder.dir
	sign := func(p Prompter) error {
		t.Helper()
		c := opened(t, dir, p)
		_, err := c.Sign(ctx, SignRequest{Message: []byte("m")})
		if cerr := c.Close(); cerr != nil {
			t.Fatal(cerr)
		}
		return err
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		err := sign(wrong)
		if !errors.Is(err, Auth) || bytes.Contains([]byte(err.Error()), []byte("pin")) {
			t.Fatalf("wrong PIN: %v", err)
		}
	}
	if err := sign(right); !errors.Is(err, Locked) {
		t.Fatalf("after the last try: %v", err)
	}
	e.Unlock(t, u.ID)
	if err := sign(right); err != nil {
		t.Errorf("after the administrator's unlock: %v", err)
	}
	last := opened(t, dir, nil)
	st, err := last.Status(ctx, true)
	if err != nil || st.Used != 0 || st.Server == nil || st.Server.Tries.Used != 0 {
		t.Errorf("tries afterwards: %+v, %v", st, err)
	}
}

// Nothing works before its time, and every refusal says what comes first.
// req: K-7.1-00, K-17.3-01
func TestOrder(t *testing.T) {
	e := clienttest.New(t)
	ctx := t.Context()
	dir := t.TempDir() + "/terminal"
	c := opened(t, dir, right)
	if _, ok := c.Binding(); ok {
		t.Error("a binding before provisioning")
	}
	if _, err := c.Initialize(ctx, InitRequest{}); !errors.Is(err, NotReady) {
		t.Errorf("initialise before provisioning: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Provision(ctx, dir, e.Ticket(t)); err != nil {
		t.Fatal(err)
	}
	c = opened(t, dir, right)
	for name, err := range map[string]error{
		"sign":       second2(c.Sign(ctx, SignRequest{Message: []byte("m")})),
		"encrypt":    third(c.Encrypt(ctx, []byte("m"), PublicKey{}, FormDER)),
		"verify":     third(c.Verify(ctx, VerifyRequest{Message: []byte("m"), Signature: make([]byte, 64)})),
		"deregister": c.Deregister(ctx),
	} {
		if err == nil || !errors.Is(err, NotReady) {
			t.Errorf("%s before initialise: %v", name, err)
		}
	}
	for name, r := range map[string]InitRequest{
		"policy": {Policy: "pin &"}, "kdf": {KDF: "pbkdf2sm3$i"}, "source": {Policy: "pin & no-such"}, "cost": {KDF: "pbkdf2sm3$i=1023"},
	} {
		if _, err := c.Initialize(ctx, r); err == nil {
			t.Errorf("a bad %s was taken", name)
		}
	}
	if _, err := c.Initialize(ctx, InitRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Initialize(ctx, InitRequest{}); !errors.Is(err, NotReady) {
		t.Errorf("initialise twice: %v", err)
	}
}

func second2[T any](_ T, err error) error { return err }

func third[T, U any](_ T, _ U, err error) error { return err }

// Killed after the Commit and before the app had its copy, the same call gives
// the same user again and asks nothing.
// req: K-7.1-D1, K-7.1-10
func TestInitializeAgainDelivers(t *testing.T) {
	_, c, first := initialised(t)
	dir := c.folder.dir
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(c.folder.path(userFile)); err != nil {
		t.Fatal(err)
	}
	nobody := PrompterFunc(func(context.Context, Prompt) (Sample, error) {
		t.Error("it asked")
		return Sample{}, Canceled
	})
	c = opened(t, dir, nobody)
	again, err := c.Initialize(t.Context(), InitRequest{})
	if err != nil || again.User != first.User || !again.Resumed {
		t.Fatalf("again %+v, %v; first %+v", again, err, first)
	}
	if u, err := c.User(); err != nil || u != first.User {
		t.Errorf("kept %+v, %v", u, err)
	}
}

// Unbind lets the terminal begin again; deregister ends its binding.
// req: K-17.1-08, K-17.1-09, X-27
func TestUnbindAndDeregister(t *testing.T) {
	e, c, first := initialised(t)
	ctx := t.Context()
	if err := c.Unbind(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Sign(ctx, SignRequest{Message: []byte("m")}); !errors.Is(err, NotReady) {
		t.Errorf("sign after unbind: %v", err)
	}
	second, err := c.Initialize(ctx, InitRequest{})
	if err != nil || second.ID == first.ID {
		t.Fatalf("a new user: %+v, %v", second, err)
	}
	dir := c.folder.dir
	if err := c.Deregister(ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(c.folder.keys())
	if err != nil || len(left) != 0 {
		t.Errorf("secrets left after deregister: %v, %v", left, err)
	}
	if _, err := Provision(ctx, dir, e.Ticket(t)); err != nil {
		t.Errorf("a new ticket after deregister: %v", err)
	}
}

// The events number the steps of each clause and never hold what was typed.
// req: K-15.4-02b
func TestEventsHoldNoSecret(t *testing.T) {
	var events []Event
	_, c, _ := initialised(t, func(o *Options) { o.Events = func(e Event) { events = append(events, e) } })
	if _, err := c.Sign(t.Context(), SignRequest{Message: []byte("m")}); err != nil {
		t.Fatal(err)
	}
	if len(events) < 18 {
		t.Errorf("only %d events", len(events))
	}
	for _, e := range events {
		for _, s := range []string{right.pin, right.gesture} {
			if bytes.Contains([]byte(e.Text), []byte(s)) {
				t.Errorf("event %+v holds what was typed", e)
			}
		}
	}
}
