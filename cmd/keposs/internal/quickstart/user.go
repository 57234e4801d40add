package quickstart

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"

	"github.com/keposs/keposs/client"
	"github.com/keposs/keposs/core"
)

// makeUser is clause 7.1.
func (r *run) makeUser(ctx context.Context) (err error) {
	if r.client, err = r.open(ctx); err != nil {
		return err
	}
	if r.user, err = r.client.Initialize(ctx, client.InitRequest{Policy: r.policy}); err != nil {
		return err
	}
	r.screen.did("user %s", r.user.ID)
	return nil
}

func (r *run) open(ctx context.Context) (*client.Client, error) {
	return client.Open(ctx, client.Options{Dir: r.terminal(), Pinned: r.o.Pinned, Prompter: r.witness, Profile: r.profile, Events: r.event})
}

// signAndVerify is clauses 7.2 and 7.3, and leaves the files for OpenSSL.
func (r *run) signAndVerify(ctx context.Context) error {
	sig, err := r.sign(ctx)
	if err != nil {
		return err
	}
	// A drawn person is no person, and a pinned sensor nobody's but the operator's.
	r.approved = r.user.Approved && sig.Approved && r.o.Prompter != nil && r.o.Sensor == nil
	for name, b := range map[string][]byte{r.out.Message: []byte(message), r.out.Signature: sig.DER(), r.out.Key: []byte(r.user.Sign)} {
		if err := os.WriteFile(name, b, 0o644); err != nil {
			return core.Errorf(core.Exhausted, "quickstart", "%w", err)
		}
	}
	r.screen.did("signature of %d bytes in DER", len(sig.DER()))
	key, err := r.user.SignKey()
	if err != nil {
		return err
	}
	verify := func(text string) (ok bool, err error) {
		err = r.patient(func() (err error) {
			ok, _, err = r.client.Verify(ctx, client.VerifyRequest{Key: key, Message: []byte(text), Signature: sig.DER()})
			return err
		})
		return ok, err
	}
	ok, err := verify(message)
	if err != nil {
		return err
	}
	if !ok {
		return core.Errorf(core.Internal, "quickstart", "the signature just made does not verify")
	}
	r.screen.did("the signature verifies")
	if ok, err = verify(message + "?"); err != nil {
		return err
	}
	if ok {
		return core.Errorf(core.Internal, "quickstart", "the signature verifies for an altered message")
	}
	r.screen.did("an altered message does not")
	return nil
}

// encryptAndDecrypt takes a file there and back, and shows that an altered
// ciphertext is refused.
func (r *run) encryptAndDecrypt(ctx context.Context) error {
	plain := bytes.Repeat([]byte("A file of some size, line after line.\n"), 2500)
	key, err := r.user.EncKey()
	if err != nil {
		return err
	}
	ct, _, err := r.client.Encrypt(ctx, plain, key, client.FormEnvelope)
	if err != nil {
		return err
	}
	r.screen.did("%d bytes encrypted to the user's public key", len(plain))
	var back *client.Secret
	err = r.patient(func() (err error) {
		back, _, err = r.client.Decrypt(ctx, ct)
		return err
	})
	if err != nil {
		return err
	}
	defer back.Wipe()
	if !bytes.Equal(back.Bytes(), plain) {
		return core.Errorf(core.Internal, "quickstart", "decryption gave another text")
	}
	r.screen.did("decrypted: the same %d bytes", back.Len())
	return nil
}

// sign signs the message with the right entries.
func (r *run) sign(ctx context.Context) (sig client.Signature, err error) {
	err = r.patient(func() error {
		sig, err = r.client.Sign(ctx, client.SignRequest{Message: []byte(message)})
		return err
	})
	return sig, err
}

// patience is how often a service is asked for with the right entries.
const patience = 4

// patient repeats a service whose biometric sample did not match: no sensor
// knows a person every time. What is only typed gets one chance.
func (r *run) patient(do func() error) (err error) {
	for range patience {
		if err = do(); err == nil || !errors.Is(err, core.Auth) || !r.sensed() {
			return err
		}
		r.screen.say("  not recognised: another try")
	}
	return err
}

// wrongOnce makes one wrong entry: refused, counted on both sides, forgiven by
// the next right entry.
func (r *run) wrongOnce(ctx context.Context) error {
	err := r.signWrong(ctx)
	if err != nil {
		return err
	}
	if err := r.expectTries(ctx, 1); err != nil {
		return err
	}
	r.screen.did("refused without saying which factor; 1 try counted here and at SS-CC")
	if _, err := r.sign(ctx); err != nil {
		return err
	}
	if err := r.reopen(ctx); err != nil { // Close waits for the Confirm
		return err
	}
	if err := r.expectTries(ctx, 0); err != nil {
		return err
	}
	r.screen.did("the right %s signs, and the count is 0 again on both sides", r.wrongWord())
	return nil
}

// wrongLabels are the factors that are entered wrongly: the PIN where there is
// one.
func (r *run) wrongLabels() []string {
	if slices.Contains(r.first, "pin") {
		return []string{"pin"}
	}
	return r.first
}

func (r *run) wrongWord() string {
	if slices.Contains(r.first, "pin") {
		return "PIN"
	}
	return "entry"
}

// signWrong tries to sign with wrong entries and wants exactly Auth. In an
// interactive run somebody else answers instead of the person.
func (r *run) signWrong(ctx context.Context) error {
	if r.person != nil {
		for _, label := range r.wrongLabels() {
			r.person.SetWrong(label, true)
			defer r.person.SetWrong(label, false)
		}
		if r.o.Sensor != nil { // a sensor shows nobody else: the drawn person does
			defer r.witness.pass(r.person)()
		}
	} else {
		defer r.witness.pass(r.other)()
	}
	_, err := r.client.Sign(ctx, client.SignRequest{Message: []byte(message)})
	switch {
	case err == nil:
		return core.Errorf(core.Internal, "quickstart", "a wrong %s was accepted", r.wrongWord())
	case errors.Is(err, core.Auth):
		return nil
	default:
		return err
	}
}

// reopen closes and opens the client, as an app that is started again does.
func (r *run) reopen(ctx context.Context) (err error) {
	if err := r.client.Close(); err != nil {
		return err
	}
	r.client, err = r.open(ctx)
	return err
}

// expectTries checks both counters.
func (r *run) expectTries(ctx context.Context, want uint32) error {
	st, err := r.client.Status(ctx, true)
	if err != nil {
		return err
	}
	if st.ServerErr != nil {
		return st.ServerErr
	}
	if st.Used != want || st.Server.Tries.Used != want {
		return core.Errorf(core.Internal, "quickstart", "tries used: %d here, %d at SS-CC, want %d", st.Used, st.Server.Tries.Used, want)
	}
	return nil
}

// lock uses up every try, shows that the right PIN no longer helps, neither
// after a restart, and that the administrator's unlock does.
func (r *run) lock(ctx context.Context) error {
	st, err := r.client.Status(ctx, false)
	if err != nil {
		return err
	}
	r.quiet = true
	defer func() { r.quiet = false }()
	for range st.Profile.Limit {
		if err := r.signWrong(ctx); err != nil {
			return err
		}
	}
	r.screen.did("%d times a wrong %s", st.Profile.Limit, r.wrongWord())
	if err := r.reopen(ctx); err != nil {
		return err
	}
	if _, err := r.client.Sign(ctx, client.SignRequest{Message: []byte(message)}); !errors.Is(err, core.Locked) {
		return core.Errorf(core.Internal, "quickstart", "after %d wrong tries the answer is %v, want locked", st.Profile.Limit, err)
	}
	r.screen.did("LOCKED: the right %s is refused too, and a restart does not help", r.wrongWord())
	if err := r.admin.unlock(ctx, r.app, r.user.ID); err != nil {
		return err
	}
	r.screen.did("unlocked by the administrator")
	if _, err := r.sign(ctx); err != nil {
		return err
	}
	r.screen.did("the right %s signs again", r.wrongWord())
	return nil
}
