package core

import (
	"context"
	"time"

	"github.com/keposs/keposs/core/secret"
)

// FactorKind says what a factor rests on (K-3-02). The zero value is refused.
type FactorKind uint32

// Factor kinds; the numbers stand in policies and on the wire.
const (
	KindUnknown    FactorKind = 0
	KindKnowledge  FactorKind = 1 // what a person knows: PIN, gesture
	KindPossession FactorKind = 2 // what a person holds
	KindBiometric  FactorKind = 3 // what a person is: fingerprint, face
)

// String returns knowledge, possession, biometric or unknown.
func (k FactorKind) String() string {
	switch k {
	case KindKnowledge:
		return "knowledge"
	case KindPossession:
		return "possession"
	case KindBiometric:
		return "biometric"
	default:
		return "unknown"
	}
}

// SampleKind names the form of one sample. Others may be declared by plugins:
// [a-z0-9-]{1,32}.
type SampleKind string

// Sample kinds the built-in sources ask for.
const (
	SamplePIN           SampleKind = "pin"            // UTF-8 text as typed, no line end
	SamplePattern       SampleKind = "pattern"        // dots from 1, as "1-2-5" in ASCII
	SampleISOFMR        SampleKind = "iso-fmr"        // ISO/IEC 19794-2:2005 or ANSI INCITS 378 record
	SampleFaceEmbedding SampleKind = "face-embedding" // .npy, JSON or raw float32 embedding
	SampleBytes         SampleKind = "bytes"          // whatever the source documents
)

// Millibits is a strength: 1000·log2 of the work or of 1/probability, rounded
// down. A random 6-digit PIN is 19931.
type Millibits uint32

// Strength is what a factor is worth, with the reason to believe it.
type Strength struct {
	PerTry    Millibits // −log2 of the chance that one random try passes (biometric: upper 95 % bound of the session FMR)
	BestGuess Millibits // −log2 of the chance of the best single guess from measured distributions; 0 = not measured
	Offline   Millibits // work to find the secret offline once everything but it is known; never a code dimension
	Evidence  string    // how the figures are known: "counted", "measured on …", with a source a reader can check
}

// SourceInfo is what a Source declares. Values are fixed after Configure.
type SourceInfo struct {
	Name    string // [a-z0-9:_-]{1,32}, stands in policies
	Version string // release of the code, free text
	Kind    FactorKind
	Format  uint32   // current version of the secret's derivation
	Formats []uint32 // every derivation still served, Format included

	Samples         []SampleKind // accepted, preferred first
	EnrollCaptures  Range        // samples Enroll asks for
	RecoverCaptures Range        // samples Capture asks for, fused into one answer

	Strength    Strength      // at default parameters; Enrollment carries the actual one
	HelperSize  int           // bytes of every helper at default parameters; fixed for a factor's life
	RecoverTime time.Duration // Recover answers after this time, match or not; 0 = immediate and data-independent
	PADLevel    uint32        // ISO/IEC 30107-3 level the sensor declares; 0 = none
	Schema      []ConfigField // what Configure takes
	Params      []ConfigField // what EnrollRequest.Params takes
}

// Range is an inclusive interval.
type Range struct{ Min, Max int }

// ConfigField documents one setting.
type ConfigField struct {
	Name    string // [a-z0-9_]{1,32}
	Type    string // "int", "bool", "duration", "string", "path", "secret"
	Default string // as text; "" = required or off
	Help    string // one sentence
}

// Config carries settings by name. Secrets never travel in Values or in the
// environment; they are in Secrets, lent for the call.
type Config struct {
	Values  map[string]string
	Secrets map[string]*secret.Buffer
}

// A Source turns what a person knows, has or is into a stable factor secret.
//
// Implementations are safe for concurrent use, write nothing to disk or
// standard output, and let ctx end any call within 100 ms.
type Source interface {
	// Describe returns the same values at every call after Configure.
	Describe(ctx context.Context) (SourceInfo, error)

	// Configure sets what Schema lists. An unknown name or a bad value is
	// Invalid and changes nothing. Sources work with defaults unconfigured.
	Configure(ctx context.Context, c Config) error

	// Enroll collects samples through p and returns the factor secret with its
	// public helper. A poor or inconsistent sample is asked for again through
	// p with a reason; a person who cannot be enrolled is CaptureRefused with
	// what to do. The caller owns Enrollment.Secret.
	Enroll(ctx context.Context, req EnrollRequest, p Prompter) (Enrollment, error)

	// Capture takes the samples of one attempt. They stay with the Capture, in
	// the source's process, until Recover or Close. A sample refused for its
	// own quality is asked for again and counts no try.
	Capture(ctx context.Context, req CaptureRequest, p Prompter) (Capture, error)
}

// EnrollRequest is the input of Source.Enroll.
type EnrollRequest struct {
	Label   string            // factor label, for prompts
	Format  uint32            // derivation to enrol with; 0 = SourceInfo.Format
	BindKey *secret.Buffer    // 32 bytes keying the feature transform; nil for knowledge and possession. Lent
	Params  map[string]string // by SourceInfo.Params; unknown names are Invalid
}

// Enrollment is what Enroll found. Secret is 32 bytes at least for biometrics;
// a knowledge factor's is its canonical text.
type Enrollment struct {
	Secret   *secret.Buffer // owned by the caller
	Helper   []byte         // public, fixed length; for knowledge factors only parameters such as the grid
	Format   uint32
	Strength Strength
	Quality  Quality
}

// Quality tells a person how well the enrolment went, never a secret.
type Quality struct {
	Score int      // 0..100
	Notes []string // sentences
}

// CaptureRequest is the input of Source.Capture. The policy's signature has
// been checked before it is made.
type CaptureRequest struct {
	Label  string
	Format uint32
	Params []byte // a knowledge factor's helper (grid, length rule); nil for biometrics
}

// A Capture holds the samples of one attempt. It is used by one goroutine.
type Capture interface {
	// Recover always yields a secret of full length, the enrolled one if the
	// samples match: a wrong face or PIN gives an unrelated secret in the same
	// shape and time. It errs only for causes independent of the enrolled
	// template. The caller owns the buffer. A second call is State.
	Recover(ctx context.Context, req RecoverRequest) (*secret.Buffer, error)

	// Close wipes the samples. It may be called repeatedly and after Recover.
	Close() error
}

// RecoverRequest arrives after capture, so that no template meets a helper
// before the samples are taken.
type RecoverRequest struct {
	Helper  []byte         // as Enroll returned it, unmasked by core
	BindKey *secret.Buffer // as at enrolment. Lent
}

// Purpose tells a prompt's reader why it is asked.
type Purpose uint32

// Purposes.
const (
	PurposeUnknown Purpose = 0
	PurposeEnroll  Purpose = 1 // first entry of a new factor
	PurposeConfirm Purpose = 2 // the same again, to catch a slip (G-7.10-06)
	PurposeRecover Purpose = 3 // entry for one service
)

// Prompt asks a person or a sensor for one sample.
type Prompt struct {
	Kinds   []SampleKind // any one of these will do, preferred first
	Label   string       // the factor's label
	Purpose Purpose
	Index   int    // 1-based number of this sample
	Total   int    // how many are expected in all
	Text    string // one line for the person
	Refusal string // why the previous sample was refused, "" at first
	Grid    int    // patterns: side of the dot grid, 3 or 4; else 0
	MinLen  int    // shortest answer, 0 = no bound
	MaxLen  int    // longest answer in bytes, 0 = the host's cap
}

// Sample is one answer. Data is owned by whoever received the Sample last.
type Sample struct {
	Kind  SampleKind
	Model string // the sensor's model or extractor, for sources that bind to it
	Data  *secret.Buffer
}

// NewSample takes over data.
func NewSample(kind SampleKind, data []byte) Sample {
	return Sample{Kind: kind, Data: secret.Own(data)}
}

// A Prompter answers prompts: the source drives, the host owns the screen.
// Ask returns Canceled when the person gives up. The source owns the Sample.
type Prompter interface {
	Ask(ctx context.Context, p Prompt) (Sample, error)
}

// PrompterFunc makes a function a Prompter.
type PrompterFunc func(ctx context.Context, p Prompt) (Sample, error)

// Ask calls f.
func (f PrompterFunc) Ask(ctx context.Context, p Prompt) (Sample, error) { return f(ctx, p) }

// SensorInfo is what a Sensor declares.
type SensorInfo struct {
	Name     string
	Version  string
	Samples  []SampleKind // kinds it can produce
	Model    string       // extractor or embedding model, stands in every Sample
	PADLevel uint32
	Schema   []ConfigField
}

// A Sensor is a plugin that only captures: a reader, a camera model, a file.
//
// Sample answers one prompt of a kind the sensor declared. It returns
// CaptureRefused with a reason a person understands if the sample is too poor;
// the host asks again and counts no try. Any other error ends the collection.
// Implementations are safe for concurrent use and keep nothing of a sample
// after returning. ctx ends the capture within 100 ms.
type Sensor interface {
	Describe(ctx context.Context) (SensorInfo, error)
	Configure(ctx context.Context, c Config) error
	Sample(ctx context.Context, p Prompt) (Sample, error)
}
