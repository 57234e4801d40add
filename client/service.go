package client

import (
	"context"
	"errors"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/policy"
	"github.com/keposs/keposs/core/sm"
)

// DefaultPolicy is what Initialize uses when the request names none.
const DefaultPolicy = "pin & gesture"

// InitRequest asks for clause 7.1.
type InitRequest struct {
	Policy string                       // factor tree, "" = DefaultPolicy
	KDF    string                       // "name$key=n,…", "" = pbkdf2sm3 at the profile's floor
	Params map[string]map[string]string // by factor label: what the source's enrolment takes
}

// User is what initialisation returned: the user id and the two public keys.
// An app may keep it; it is no secret.
type User struct {
	ID   ID     `json:"user_id"`
	Sign string `json:"sign"` // PEM SubjectPublicKeyInfo of P_M
	Enc  string `json:"enc"`  // PEM SubjectPublicKeyInfo of the encryption key
}

// SignKey parses P_M.
func (u User) SignKey() (PublicKey, error) { return sm.ParsePEM([]byte(u.Sign)) }

// EncKey parses the public encryption key.
func (u User) EncKey() (PublicKey, error) { return sm.ParsePEM([]byte(u.Enc)) }

// Initialized is a User and how the enrolment went.
type Initialized struct {
	User
	Approved bool // only approved functions and signed images took part
	Resumed  bool // an interrupted run was completed; nothing was asked
	Quality  map[string]core.Quality
	Strength map[string]core.Strength
}

// Initialize runs clause 7.1: it asks for every factor of the policy, twice
// where it is typed, and returns the user id SS-CC made and the public keys.
// After a crash the same call completes or starts over; it never leaves two
// records. It is State once a user is initialised and was told so.
// req: K-17.1-06, K-17.1-07, K-17.6-L1b
func (c *Client) Initialize(ctx context.Context, r InitRequest) (*Initialized, error) {
	if c.agent != nil {
		return c.agent.initialize(ctx, r)
	}
	text := r.Policy
	if text == "" {
		text = DefaultPolicy
	}
	tree, err := policy.Parse(text)
	if err != nil {
		return nil, err
	}
	params, err := c.kdfParams(r.KDF)
	if err != nil {
		return nil, err
	}
	res, err := c.undelivered()
	if err == nil && res == nil {
		res, err = c.module.Initialize(ctx, mstcc.InitRequest{Tree: tree, KDF: params, Params: r.Params}, c.prompt)
	}
	if err != nil {
		return nil, err
	}
	return c.deliver(res)
}

// deliver keeps the app's copy of a new user.
func (c *Client) deliver(res *mstcc.InitResult) (*Initialized, error) {
	out := &Initialized{
		User:     User{ID: res.User, Sign: string(res.Sign.PEM()), Enc: string(res.Enc.PEM())},
		Approved: res.Approved, Resumed: res.Resumed, Quality: res.Quality, Strength: res.Strength,
	}
	return out, c.folder.writeJSON(userFile, out.User)
}

// undelivered is the result of an initialisation that was killed after its
// user was stored and before the app had its copy; nil when there is none.
func (c *Client) undelivered() (*mstcc.InitResult, error) {
	if _, err := c.User(); !errors.Is(err, core.State) {
		return nil, err
	}
	return c.module.Delivery()
}

// kdfParams reads the text form; the empty text is the profile's floor.
func (c *Client) kdfParams(text string) (core.Params, error) {
	if text != "" {
		return core.ParseParams(text)
	}
	return core.NewParams(DefaultKDF, core.Param{Key: "i", N: c.floor}), nil
}

// User returns the app's own copy of the user id and public keys, as the last
// Initialize in this folder returned them; NotReady before. The authoritative
// record is the module's, opened with PPD.
func (c *Client) User() (User, error) {
	if c.agent != nil {
		return ask[User](context.Background(), c.agent, "user", nil)
	}
	var u User
	err := c.folder.readJSON(userFile, &u)
	if errors.Is(err, core.NotFound) {
		return u, core.Errorf(core.State, "client", "no user is initialised here: run init first")
	}
	return u, err
}

// Outcome tells how a private operation ran.
type Outcome = mstcc.Outcome

// SignRequest asks for one signature (clause 7.2).
type SignRequest struct {
	Message []byte   // the message itself, never a digest
	ID      []byte   // SM2 user id, nil = 1234567812345678
	Factors []string // labels the person will give; nil = the policy's first set
}

// Signature is r‖s of SM2 with SM3.
type Signature struct {
	raw [64]byte
	Outcome
}

// Raw returns r‖s, 64 bytes big-endian.
func (s Signature) Raw() []byte { return append([]byte(nil), s.raw[:]...) }

// DER returns SEQUENCE{r, s}, as GM/T 0009 and OpenSSL write it.
func (s Signature) DER() []byte { return sm.SignatureDER(s.raw) }

// Sign asks for PPD and signs one message.
// req: K-6-02, K-6.1-07
func (c *Client) Sign(ctx context.Context, r SignRequest) (Signature, error) {
	if c.agent != nil {
		sigs, err := c.agent.signBatch(ctx, [][]byte{r.Message}, r)
		if err != nil {
			return Signature{}, err
		}
		return sigs[0], nil
	}
	raw, out, err := c.module.Sign(ctx, r.Message, r.ID, mstcc.OpenOptions{Factors: r.Factors}, c.prompt)
	return Signature{raw, out}, err
}

// SignBatch signs several messages under one entry of PPD, in order. ID and
// Factors are shared; nothing is remembered afterwards.
func (c *Client) SignBatch(ctx context.Context, messages [][]byte, r SignRequest) ([]Signature, error) {
	if r.Message != nil {
		return nil, core.Errorf(core.Usage, "client: sign batch", "messages stand in the list, not in the request")
	}
	if c.agent != nil {
		return c.agent.signBatch(ctx, messages, r)
	}
	raws, out, err := c.module.SignBatch(ctx, messages, r.ID, mstcc.OpenOptions{Factors: r.Factors}, c.prompt)
	if err != nil {
		return nil, err
	}
	sigs := make([]Signature, len(raws))
	for i := range raws {
		sigs[i] = Signature{raws[i], out}
	}
	return sigs, nil
}

// VerifyRequest asks whether a signature is right (clause 7.3).
type VerifyRequest struct {
	Key       PublicKey // zero = the user's own
	Message   []byte
	ID        []byte // as at signing
	Signature []byte // DER, or 64 bytes r‖s
	Factors   []string
}

// Verify checks a signature with the key given. Under the default profile the
// person enters PPD first; with an open profile nothing is asked and
// SS-CC is not contacted.
func (c *Client) Verify(ctx context.Context, r VerifyRequest) (bool, Outcome, error) {
	if c.agent != nil {
		return c.agent.verify(ctx, r)
	}
	key := r.Key
	if key.IsZero() {
		u, err := c.User()
		if err != nil {
			return false, Outcome{}, err
		}
		if key, err = u.SignKey(); err != nil {
			return false, Outcome{}, err
		}
	}
	sig, err := parseSignature(r.Signature)
	if err != nil {
		// Malformed is a negative answer, not a failure of the call: the
		// signature does not verify whatever the key.
		return false, Outcome{}, nil
	}
	return c.module.Verify(ctx, key, r.Message, r.ID, sig, mstcc.OpenOptions{Factors: r.Factors}, c.prompt)
}

// parseSignature takes strict DER for DER and any other 64 bytes for r‖s.
func parseSignature(b []byte) (sig [64]byte, err error) {
	if der, err := sm.ParseSignatureDER(b); err == nil {
		return der, nil
	}
	if len(b) != 64 {
		return sig, core.Errorf(core.Invalid, "client: verify", "signature of %d bytes is neither DER nor r‖s", len(b))
	}
	copy(sig[:], b)
	return sig, nil
}

// Status tells the module's state, the tries, and SS-CC's view when online.
func (c *Client) Status(ctx context.Context, online bool) (mstcc.Status, error) {
	if c.agent != nil {
		return c.agent.status(ctx, online)
	}
	return c.module.Status(ctx, online)
}

// Unbind ends this device's binding; it asks for PPD. The user's record at
// SS-CC is dropped and the terminal's secrets are destroyed.
func (c *Client) Unbind(ctx context.Context, factors ...string) error {
	if c.agent != nil {
		_, err := ask[struct{}](ctx, c.agent, "unbind", agentFactors{factors})
		return err
	}
	if err := c.module.Unbind(ctx, mstcc.OpenOptions{Factors: factors}, c.prompt); err != nil {
		return err
	}
	return c.folder.forget(userFile)
}

// Deregister cancels the user and ends the module's life on this terminal; it
// asks for PPD. The folder must be provisioned again to be used.
func (c *Client) Deregister(ctx context.Context, factors ...string) error {
	if c.agent != nil {
		_, err := ask[struct{}](ctx, c.agent, "deregister", agentFactors{factors})
		return err
	}
	if err := c.module.Deregister(ctx, mstcc.OpenOptions{Factors: factors}, c.prompt); err != nil {
		return err
	}
	return errors.Join(c.folder.forget(userFile), c.folder.forget(bindingFile))
}
