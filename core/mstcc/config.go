package mstcc

import (
	"context"
	"io"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mf"
	"github.com/keposs/keposs/core/mstcc/probes"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/core/step"
)

// Binding is what provisioning and device enrolment left: who we are and whom
// we talk to. It holds no secret; the device key is in the KeyStore.
type Binding struct {
	App    protocol.ID
	Device protocol.ID
	Realm  protocol.ID
	Server sm.PublicKey // SS-CC's pinned identity key
}

// Config brings in everything a Module depends on. Fields without a comment on
// their zero value are required.
type Config struct {
	Dir     string       // state folder of this user, created 0700
	Keys    KeyStore     // device secrets and device key
	Binding *Binding     // nil = not provisioned: the module stays FACTORY
	Device  sm.PublicKey // public half of DeviceKeyName(1) in Keys

	// Source returns the PPD source of a name, ready to use. Approved tells
	// whether it runs from an approved image.
	Source func(ctx context.Context, name string) (src core.Source, approved bool, err error)
	// KDF returns the slow KDF of a name.
	KDF func(ctx context.Context, name string) (kdf core.KDF, approved bool, err error)
	// Dial opens the session to SS-CC with the device key, DeviceKeyName(1).
	Dial func(ctx context.Context) (Escrow, error)
	// DialNext is Dial with DeviceKeyName(2), the device key a revoke makes:
	// needed when a crash came after SS-CC took it and before it became the
	// first here. nil = no revoke.
	DialNext func(ctx context.Context) (Escrow, error)
	// Attest gives a platform's proof over nonce that this terminal is genuine,
	// as Play Integrity or App Attest do, at most protocol.MaxAttestation bytes.
	// SS-CC's policy for the app decides whether it is asked for. It is called
	// during services, must not call the Module and may take as long as ctx
	// allows. nil = none: such an app's calls end with Environment.
	Attest func(ctx context.Context, nonce [32]byte) (platform string, token []byte, err error)
	// OPRF blinds and finalises in hardened mode; nil = plain mode only.
	OPRF OPRF

	// Approved says that this very program runs from an approved image. A
	// service that uses neither source nor KDF is approved only then.
	Approved bool

	Profile   Profile        // asked for at initialisation; the sealed one counts afterwards
	SelfTests []SelfTestCase // after the known answers of core/sm: integrity, entropy, …
	// Probes looks at the environment; quick leaves out what takes long. nil = none.
	Probes func(ctx context.Context, level uint32, quick bool) []probes.Finding

	Rand     io.Reader        // nil = sm.Rand()
	Clock    func() time.Time // nil = time.Now
	Step     step.Func        // nil = none
	Progress func(Progress)   // nil = none; called in order, must not block
}

// SelfTestCase is one named pre-operational test.
type SelfTestCase struct {
	Name string
	Run  func(ctx context.Context) error
}

// OPRF is the client's side of core/oprf, narrowed to what MST-CC needs.
type OPRF interface {
	mf.OPRF
	// Blind returns the blinded element of input (lent) and what finishes it.
	Blind(rand io.Reader, input []byte) (protocol.Point, Blinding, error)
}

// Blinding is one blinded input.
type Blinding interface {
	// Finalize checks the evaluated element, and with a proof also that it was
	// made with the key behind pub, and returns 32 bytes owned by the caller.
	// An element or proof that fails is Refused: the server is at fault.
	Finalize(evaluated, pub protocol.Point, proof []byte) ([]byte, error)
	Wipe()
}

// Progress tells a watcher how a flow advances. It never holds a secret.
type Progress struct {
	Flow  string        // "7.1", "7.2", "7.3", "decrypt", "alarm", "state"
	Step  int           // number in the clause, 0 for others
	Text  string        // what was done
	Took  time.Duration // since the previous step of the flow
	State State
}
