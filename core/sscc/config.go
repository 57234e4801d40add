package sscc

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/oprf"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/core/step"
)

// Config brings in everything a Server depends on. Fields without a comment on
// their zero value are required.
type Config struct {
	Backend core.Backend // configured; the caller closes it after the Server
	KDF     core.KDF     // stretches the administrator's password

	KDFParams core.Params      // cost at set-up; zero = the KDF's default
	OPRF      OPRF             // evaluates in hardened mode; nil = hardened is Unsupported
	Rand      io.Reader        // nil = sm.Rand()
	Clock     func() time.Time // nil = time.Now
	Step      step.Func        // nil = none; names: try.before, try.counted, confirm.applied, prepare.stored, commit.stored, commit.marked, …
	Logger    *slog.Logger     // nil = silent
	Limits    Limits           // zero fields take DefaultLimits
	Heads     HeadStore        // log heads kept outside the backend; nil = none
	SelfTests []SelfTestCase   // after the known answers of core/sm

	// Attestors judge proofs that a terminal is genuine, by platform; nil = no app
	// may ask for one.
	Attestors map[string]Attestor

	// FailClosed makes every answer wait until its audit event is durable, and
	// refuses it when that fails.
	FailClosed bool
	// Observe hears every finished operation with its code (Unknown = success).
	Observe func(op string, code core.Code, took time.Duration)
}

// SelfTestCase is one named pre-operational test.
type SelfTestCase struct {
	Name string
	Run  func(ctx context.Context) error
}

// OPRF is the server's side of core/oprf.
type OPRF interface {
	// Check refuses a blinded element that is not canonical, not on the curve or
	// the identity, before anything is counted.
	Check(blinded protocol.Point) (oprf.Element, error)
	// Key takes a key of protocol.OPRFSize bytes, lent; a zero or oversize one is
	// Invalid.
	Key(key []byte) (OPRFKey, error)
}

// OPRFKey is one user's key, ready to use and safe for concurrent use.
type OPRFKey interface {
	Public() protocol.Point
	// Evaluate returns key·blinded.
	Evaluate(blinded oprf.Element) (protocol.Point, error)
	// EvaluateWithProof also returns the DLEQ proof c‖s that this key was used.
	EvaluateWithProof(rand io.Reader, blinded oprf.Element) (protocol.Point, []byte, error)
	Wipe()
}

// Limits bounds what peers may do. Rates are per replica and refill evenly;
// TriesPerMinute and Tries are durable and hold across replicas.
type Limits struct {
	Tries          uint32        // default limit of an app's users, 1..10
	TriesPerMinute uint8         // counted tries of one user in one minute (G-7.4-05)
	AppRate        float64       // requests a second of one app
	DeviceRate     float64       // requests a second of one device
	PolicyRate     float64       // uncounted reads a second of one device
	Burst          float64       // requests above the rate, as seconds of it
	PrepareTTL     time.Duration // life of a staged record
	TicketTTL      time.Duration // life of an enrolment ticket
	OfficerTTL     time.Duration // life of an administrator's session
	LoginTries     uint32        // wrong passwords before LOCKED
	LoginWait      time.Duration // how long LOCKED lasts; doubles each time
	LoginDelay     time.Duration // after each wrong password
	DestroyWait    time.Duration // destroy waits this long after the last answered try
	MinPassword    int           // bytes of an administrator's password
	RotateGrace    time.Duration // old keys live on so long at the end of a rotation with replicas
	AttestTTL      time.Duration // how long a terminal's attestation counts
}

// DefaultLimits is what zero fields become.
func DefaultLimits() Limits {
	return Limits{
		Tries: 5, TriesPerMinute: 30, AppRate: 2000, DeviceRate: 100, PolicyRate: 20, Burst: 2,
		PrepareTTL: 24 * time.Hour, TicketTTL: 7 * 24 * time.Hour, OfficerTTL: time.Hour,
		LoginTries: 5, LoginWait: time.Minute, LoginDelay: 500 * time.Millisecond,
		DestroyWait: time.Minute, MinPassword: 10, RotateGrace: 30 * time.Second, AttestTTL: 24 * time.Hour,
	}
}

func pick[T comparable](v, d T) T {
	var zero T
	if v == zero {
		return d
	}
	return v
}

func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	return Limits{
		Tries: pick(l.Tries, d.Tries), TriesPerMinute: pick(l.TriesPerMinute, d.TriesPerMinute),
		AppRate: pick(l.AppRate, d.AppRate), DeviceRate: pick(l.DeviceRate, d.DeviceRate),
		PolicyRate: pick(l.PolicyRate, d.PolicyRate), Burst: pick(l.Burst, d.Burst),
		PrepareTTL: pick(l.PrepareTTL, d.PrepareTTL), TicketTTL: pick(l.TicketTTL, d.TicketTTL),
		OfficerTTL: pick(l.OfficerTTL, d.OfficerTTL), LoginTries: pick(l.LoginTries, d.LoginTries),
		LoginWait: pick(l.LoginWait, d.LoginWait), LoginDelay: pick(l.LoginDelay, d.LoginDelay),
		DestroyWait: pick(l.DestroyWait, d.DestroyWait), MinPassword: pick(l.MinPassword, d.MinPassword),
		RotateGrace: pick(l.RotateGrace, d.RotateGrace), AttestTTL: pick(l.AttestTTL, d.AttestTTL),
	}
}

func (c Config) withDefaults() (Config, error) {
	const op = "sscc: new"
	if c.Backend == nil || c.KDF == nil {
		return c, core.Errorf(core.Usage, op, "want a backend and a kdf")
	}
	if c.Rand == nil {
		c.Rand = sm.Rand()
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Limits = c.Limits.withDefaults()
	if c.Limits.Tries < 1 || c.Limits.Tries > protocol.MaxHeld {
		return c, core.Errorf(core.Usage, op, "limit of %d tries, want 1 to %d", c.Limits.Tries, protocol.MaxHeld)
	}
	return c, nil
}
