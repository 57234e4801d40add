package core

import "context"

// Bounds every backend keeps to. Larger input is TooLarge, before anything is written.
const (
	MaxKey  = 64
	MaxHot  = 512
	MaxBlob = 64 << 10
	// MaxBatch bounds the keys of one GetMany and the mutations of one CommitMany.
	MaxBatch = 1024
)

// Key names a record: HMAC-SM3 of a tenant and user under a root-derived key,
// so a backend never sees an identifier. At most MaxKey bytes, at least 1.
type Key []byte

// Version orders the states of one key. 0 means absent. It is Expect+1 after a
// success, strictly increasing and never reused, also across delete and
// re-create: a create gets one more than the last tombstone.
type Version uint64

// ReqID identifies one logical request: the same ReqID gives the same result.
type ReqID [16]byte

// Record is what a backend keeps. Hot (counter, state) and Blob (policy,
// sealed key) are sealed above it.
type Record struct {
	Key     Key
	Version Version
	Hot     []byte // ≤ MaxHot
	Blob    []byte // ≤ MaxBlob
	ReqID   ReqID  // of the mutation that made this version
}

// Op says what a Mutation does. The zero value is refused.
type Op uint32

// Ops.
const (
	OpUnknown Op = 0
	OpPut     Op = 1 // replace Hot and Blob; Expect 0 = create
	OpPutHot  Op = 2 // replace Hot, Blob untouched; Expect must not be 0
	OpDelete  Op = 3 // leave a tombstone that keeps the version
)

// String names the op.
func (o Op) String() string {
	switch o {
	case OpPut:
		return "put"
	case OpPutHot:
		return "put-hot"
	case OpDelete:
		return "delete"
	default:
		return "unknown"
	}
}

// Mutation is one compare-and-set.
type Mutation struct {
	Key    Key
	Expect Version
	Op     Op
	Hot    []byte
	Blob   []byte
	ReqID  ReqID
	Fence  uint64 // 0 = none; with Fencer a lower fence than the highest seen is Fenced
}

// Result answers one Mutation. Err is nil or an *Error.
type Result struct {
	Version Version
	Err     error
}

// ReadOpts tunes GetMany.
type ReadOpts struct {
	Stale   bool // a replica's older state will do
	HotOnly bool // leave Blob nil
}

// ScanRequest asks for one page in key order.
type ScanRequest struct {
	After Key // exclusive; nil = from the start
	Limit int // 1..1000
	Hot   bool
	Blob  bool
	Tombs bool // tombstones too: Version set, Hot and Blob nil, Deleted true in the page
}

// Page is one answer of Scan.
type Page struct {
	Records []Record
	Deleted []bool // parallel to Records; nil when none is a tombstone
	Next    Key    // pass as After; nil = done
}

// BackendInfo is what a backend declares.
type BackendInfo struct {
	Name       string
	Version    string
	Replicated bool // several SS-CC may share it
	Schema     []ConfigField
}

// A Backend stores sealed records. It is untrusted for secrecy and content and
// trusted for freshness and durability: linearizable per key, durable at
// acknowledgement.
//
// Errors are *Error with NotFound, Conflict (Current set), TooLarge, Invalid,
// Exhausted, Throttled, Unavailable (certainly not applied), Indeterminate
// (may be applied), Corrupt, Fenced, Unsupported or Closed. Retry Unavailable
// and Throttled blindly, Indeterminate only with the same ReqID, Conflict
// after reading again.
//
// All methods are safe for concurrent use. Arguments are lent: a backend keeps
// no slice of them after returning, and returned slices belong to the caller.
type Backend interface {
	Describe(ctx context.Context) (BackendInfo, error)

	// Configure opens the store. Called once, before any other method but
	// Describe; a second call is State.
	Configure(ctx context.Context, c Config) error

	// GetMany returns one Record per key, in order. An absent key has Version 0
	// and nil Hot and Blob, a deleted one too. Linearizable per key unless
	// Stale; HotOnly leaves Blob nil. More than MaxBatch keys is TooLarge. An
	// error concerns the whole call.
	GetMany(ctx context.Context, keys []Key, o ReadOpts) ([]Record, error)

	// CommitMany applies each mutation on its own: atomic, compare-and-set on
	// Expect, DURABLE when it returns. One Result per mutation, in order. Two
	// mutations of one key in a call are applied in order. The error is for
	// causes that concern the whole call; then no Result is returned and
	// nothing is known beyond the error's code.
	CommitMany(ctx context.Context, ms []Mutation) ([]Result, error)

	// Scan pages in ascending key order; every key present throughout the
	// whole scan appears exactly once.
	Scan(ctx context.Context, req ScanRequest) (Page, error)

	// Close releases everything. Later calls are Closed; a second Close is nil.
	Close() error
}

// Healther tells whether a backend can serve now; found by assertion.
type Healther interface {
	Health(ctx context.Context) error
}

// Exporter moves whole stores: resumable by After, tombstones and versions
// included. Import keeps a newer version that is already there.
type Exporter interface {
	Export(ctx context.Context, req ScanRequest) (Page, error)
	Import(ctx context.Context, recs []Record, deleted []bool) error
}

// Change is one entry of a Feed.
type Change struct {
	Record  Record
	Deleted bool
}

// Feed streams changes, per key in order, until ctx ends.
type Feed interface {
	Watch(ctx context.Context, from Key, fn func(Change) error) error
}

// Fencer refuses mutations whose Fence is lower than the highest raised.
type Fencer interface {
	RaiseFence(ctx context.Context, fence uint64) error
}

// Gatherer is a backend that makes what callers commit at the same moment
// durable together by itself. While Gathers is true SS-CC hands each mutation on
// as it comes; of others it gathers a batch first.
type Gatherer interface {
	Gathers() bool
}
