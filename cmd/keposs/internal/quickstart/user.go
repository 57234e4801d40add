package quickstart

import (
	"bytes"
	"context"
	"errors"
	"os"

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
	return client.Open(ctx, client.Options{Dir: r.terminal(), Prompter: r.witness, Events: r.event})
}

// signAndVerify is clauses 7.2 and 7.3, and leaves the files for OpenSSL.
func (r *run) signAndVerify(ctx context.Context) error {
	sig, err := r.client.Sign(ctx, client.SignRequest{Message: []byte(message)})
	if err != nil {
		return err
	}
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
	ok, _, err := r.client.Verify(ctx, client.VerifyRequest{Key: key, Message: []byte(message), Signature: sig.DER()})
	if err != nil {
		return err
	}
	if !ok {
		return core.Errorf(core.Internal, "quickstart", "the signature just made does not verify")
	}
	r.screen.did("the signature verifies")
	ok, _, err = r.client.Verify(ctx, client.VerifyRequest{Key: key, Message: []byte(message + "?"), Signature: sig.DER()})
	if err != nil {
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
	ct, err := r.client.Encrypt(ctx, plain, key, client.FormEnvelope)
	if err != nil {
		return err
	}
	r.screen.did("%d bytes encrypted to the user's public key", len(plain))
	back, _, err := r.client.Decrypt(ctx, ct)
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

// wrongOnce enters one wrong PIN: refused, counted on both sides, forgiven by
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
	if _, err := r.client.Sign(ctx, client.SignRequest{Message: []byte(message)}); err != nil {
		return err
	}
	if err := r.reopen(ctx); err != nil { // Close waits for the Confirm
		return err
	}
	if err := r.expectTries(ctx, 0); err != nil {
		return err
	}
	r.screen.did("the right PIN signs, and the count is 0 again on both sides")
	return nil
}

// signWrong tries to sign with a wrong PIN and wants exactly Auth. In an
// interactive run somebody else answers instead of the person: neither PIN nor
// gesture is theirs.
func (r *run) signWrong(ctx context.Context) error {
	if r.person != nil {
		r.person.SetWrong("pin", true)
		defer r.person.SetWrong("pin", false)
	} else {
		defer r.witness.pass(r.other)()
	}
	_, err := r.client.Sign(ctx, client.SignRequest{Message: []byte(message)})
	switch {
	case err == nil:
		return core.Errorf(core.Internal, "quickstart", "a wrong PIN was accepted")
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
	r.screen.did("%d wrong PINs entered", st.Profile.Limit)
	if err := r.reopen(ctx); err != nil {
		return err
	}
	if _, err := r.client.Sign(ctx, client.SignRequest{Message: []byte(message)}); !errors.Is(err, core.Locked) {
		return core.Errorf(core.Internal, "quickstart", "after %d wrong tries the answer is %v, want locked", st.Profile.Limit, err)
	}
	r.screen.did("LOCKED: the right PIN is refused too, and a restart does not help")
	if err := r.admin.unlock(ctx, r.app, r.user.ID); err != nil {
		return err
	}
	r.screen.did("unlocked by the administrator")
	if _, err := r.client.Sign(ctx, client.SignRequest{Message: []byte(message)}); err != nil {
		return err
	}
	r.screen.did("the right PIN signs again")
	return nil
}
