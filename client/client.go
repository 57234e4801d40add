// Package client is what an app imports: the CMMST-KEPOSS-API (clause 6.1).
//
// A Client is MST-CC inside the app's own process (level 1), assembled from
// core/mstcc, the PPD sources and KDFs as plugin processes or compiled in, and
// the channel to SS-CC; or the same services of an agent, a process of its own
// (level 2, Options.Agent). It holds no secret between calls: every private
// operation asks for PPD through the app's Prompter, and everything secret is
// wiped before the call returns.
//
//	c, err := client.Open(ctx, client.Options{Dir: dir, Prompter: screen})
//	user, err := c.Initialize(ctx, client.InitRequest{Policy: "pin & gesture"})
//	sig, err := c.Sign(ctx, client.SignRequest{Message: contract})
//
// Before Initialize the terminal is provisioned once with the administrator's
// ticket (Provision). Errors are *core.Error; callers act on their code with
// errors.Is(err, client.Locked) and never on the text.
package client

import (
	"context"
	"errors"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/mstcc/probes"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/core/step"
)

// Names of core an app meets, so that an app imports this package only.
type (
	// Prompter answers a source's questions; the app owns the screen.
	Prompter = core.Prompter
	// PrompterFunc makes a function a Prompter.
	PrompterFunc = core.PrompterFunc
	// Prompt is one question, Sample its answer.
	Prompt = core.Prompt
	// Sample is what a Prompter returns.
	Sample = core.Sample
	// SampleKind names the form of a Sample.
	SampleKind = core.SampleKind
	// Code is the kind of a failure; errors.Is(err, Locked) and so on.
	Code = core.Code
	// Event tells how a flow of clause 7 advances.
	Event = mstcc.Progress
	// State is a state of the module (clause 17.3).
	State = mstcc.State
	// ID is a user, app or device id.
	ID = protocol.ID
	// PublicKey is an SM2 public key; PEM and SPKI render it.
	PublicKey = sm.PublicKey
	// Secret is a buffer that can be wiped and never prints.
	Secret = secret.Buffer
)

// Codes an app acts on; the whole list is core.Codes.
const (
	Auth        = core.Auth
	Locked      = core.Locked
	Canceled    = core.Canceled
	Unavailable = core.Unavailable
	Refused     = core.Refused
	NotReady    = core.State
)

// Sample kinds of the built-in sources.
const (
	SamplePIN     = core.SamplePIN
	SamplePattern = core.SamplePattern
)

// NewSample takes over data.
func NewSample(kind SampleKind, data []byte) Sample { return core.NewSample(kind, data) }

// ParsePublicKey reads a PEM SubjectPublicKeyInfo of an SM2 key.
func ParsePublicKey(pem []byte) (PublicKey, error) { return sm.ParsePEM(pem) }

// Options tells Open what it cannot find out.
type Options struct {
	// Dir is the terminal's folder, as Provision left it. One folder holds one
	// binding of one user. It is locked while a Client is open.
	Dir string

	// Prompter is asked for PPD. nil is allowed for callers that only look
	// (Status) or verify under an open profile.
	Prompter Prompter

	// Profile is what Initialize seals; afterwards the sealed one counts. The
	// zero value is DefaultProfile, at level 2 through an agent.
	Profile Profile

	// InProcess runs sources and KDFs inside this process instead of as plugin
	// processes. Elsewhere than on Linux it is always so.
	InProcess bool

	// Pinned is the folder of plugins the operator vouched for: their sources
	// and KDFs may stand in policies. "" = none. Linux only.
	Pinned string

	// Events hears every numbered step of clause 7 and every alarm, in order.
	// It must not block and never gets a secret.
	Events func(Event)

	// Plugins hears what happens to plugin processes; for diagnosis.
	Plugins func(PluginEvent)

	// Host answers for what only the app can see on its platform: a phone's
	// verdicts on rooting, overlays, attestation, by probe ID. It is asked before
	// each entry and in each self-test, must not call the Client and returns when
	// ctx ends. nil = nobody.
	Host ProbeHost

	// Agent is the socket of a keposs agent that serves the module: the same
	// services in a process of their own, which level 2 demands (AgentSocket).
	// Prompter, Events, Host and Attest stay the app's: the agent asks it over the
	// open call, a minute at most for Host and Attest. What else an agent needs it
	// was started with. "" = inside this process.
	Agent string

	// Attest gives the platform's proof over nonce that this terminal is genuine
	// (Play Integrity, App Attest, …), or the statement of an attestation service
	// about it; SS-CC demands it where the app's policy says so. It must not call
	// the Client. nil = none.
	Attest func(ctx context.Context, nonce [32]byte) (platform string, proof []byte, err error)

	Step step.Func // crash points of tests; nil = none

	agent bool // this process is the agent
	// ask gives the host of one look at the environment, who is asked those
	// probes; for an agent, whose host is the app it serves. nil = Host.
	ask func(ctx context.Context, ids []string) ProbeHost
}

// Profile is sealed at initialisation and cannot be relaxed by a flag later.
type Profile = mstcc.Profile

// Escrow modes of a profile: hardened makes every complete guess cost a
// counted try at SS-CC; plain is the literal flow of clause 7, where a thief of
// the terminal searches offline.
const (
	ModePlain    = protocol.ModePlain
	ModeHardened = protocol.ModeHardened
)

// DefaultProfile is level 1, strict verify, five tries, hardened escrow.
func DefaultProfile() Profile { return mstcc.DefaultProfile(protocol.ModeHardened) }

// A Client is one user's module in this process. Its services run one at a
// time; it is safe for concurrent use. The caller closes it.
type Client struct {
	folder  *folder
	binding *Binding // nil before Provision
	module  *mstcc.Module
	host    host
	prompt  Prompter
	clock   probes.Clock
	floor   uint64 // lowest iteration count of the profile asked for
	unlock  func()
	agent   *remote // set: the module is in another process, and nothing above is
}

// Open loads the terminal's folder and runs the self-tests if a user was
// initialised before. State is the code for a folder that was never
// provisioned, Integrity for one changed from outside, Unavailable when
// another process holds it, Unsupported a level-2 terminal outside an agent.
// With Options.Agent: NotFound when no agent listens, Refused when it is
// another user's.
// req: K-6.1-00b, X-05
func Open(ctx context.Context, o Options) (*Client, error) {
	if o.Agent != "" {
		return openRemote(ctx, o)
	}
	f, err := openFolder(o.Dir)
	if err != nil {
		return nil, err
	}
	unlock, err := f.lock(ctx)
	if err != nil {
		return nil, err
	}
	c := &Client{folder: f, prompt: o.Prompter, unlock: unlock}
	if err := c.assemble(ctx, o); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// assemble builds the module from the folder, the plugin host and the channel.
func (c *Client) assemble(ctx context.Context, o Options) error {
	cfg, err := c.config(o)
	if err != nil {
		return err
	}
	m, err := mstcc.Open(ctx, cfg)
	if m != nil { // in ERROR it comes with the reason; without one a closed module stays, and says so
		c.module = m
	}
	return err
}

// config brings together what the module depends on.
func (c *Client) config(o Options) (cfg mstcc.Config, err error) {
	keys, err := mstcc.NewFileKeyStore(c.folder.keys())
	if err != nil {
		return cfg, err
	}
	h, err := openHost(o)
	if err != nil { // a closed one stays, as the module does
		return cfg, err
	}
	c.host = h
	cfg = mstcc.Config{
		Dir:      c.folder.state(),
		Keys:     keys,
		Source:   h.source,
		KDF:      h.kdf,
		Profile:  o.Profile,
		Step:     o.Step,
		Progress: o.Events,
		OPRF:     mstcc.NewOPRF(),
		Attest:   o.Attest,

		Embedded:  !o.agent,
		Approved:  signedImage(),
		Probes:    c.probes(o),
		SelfTests: imageTests(),
	}
	if cfg.Profile == (Profile{}) {
		cfg.Profile = DefaultProfile()
	}
	c.floor = cfg.Profile.SlowFloor
	if c.binding, err = c.folder.loadBinding(); err != nil && !errors.Is(err, core.NotFound) {
		return cfg, err
	}
	b := c.binding
	if b == nil {
		return cfg, nil
	}
	if cfg.Device, err = b.deviceKey(keys); err != nil {
		return cfg, err
	}
	cfg.Dial = func(ctx context.Context) (mstcc.Escrow, error) { return b.dial(ctx, keys, deviceKeyName) }
	cfg.DialNext = func(ctx context.Context) (mstcc.Escrow, error) { return b.dial(ctx, keys, nextDeviceKeyName) }
	cfg.Binding, err = b.module()
	return cfg, err
}

// Close ends the session, the plugin processes and the hold on the folder. It
// waits until every child is reaped. It may be called repeatedly.
func (c *Client) Close() error {
	var errs []error
	if c.module != nil {
		errs = append(errs, c.forgetEnded(), c.module.Close())
		c.module = nil
	}
	if c.host != nil {
		errs = append(errs, c.host.close())
		c.host = nil
	}
	if c.unlock != nil {
		c.unlock()
		c.unlock = nil
	}
	return errors.Join(errs...)
}

// State returns the module's state.
func (c *Client) State() State {
	if c.agent != nil {
		return c.agent.state()
	}
	return c.module.State()
}

// Binding tells which app and device this is and where SS-CC is; ok is false
// before Provision.
func (c *Client) Binding() (b Binding, ok bool) {
	if c.agent != nil {
		return c.agent.binding()
	}
	if c.binding == nil {
		return Binding{}, false
	}
	return *c.binding, true
}

// SelfTest runs the self-tests on demand and tells each one's outcome.
func (c *Client) SelfTest(ctx context.Context) ([]mstcc.TestResult, error) {
	if c.agent != nil {
		return c.agent.selfTest(ctx)
	}
	return c.module.SelfTest(ctx)
}

// openTimeout bounds the wait for another process that holds the folder.
const openTimeout = 10 * time.Second
