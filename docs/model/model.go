// Package model is a small model of SS-CC's counter: one durable record that is
// changed by compare-and-set only, and requests that read, decide, write and
// answer in any interleaving, each of which may die at any point and be sent
// again. Explore visits every reachable state and checks the invariants I1 to
// I6 of the escrow protocol in each. README.md says what is modelled and how
// it maps to core/sscc.
package model

// Limit is the number of tries in the model.
const Limit = 2

// MaxEntries bounds the tries of one scenario.
const MaxEntries = 5

// MaxProcs bounds the requests of one scenario.
const MaxProcs = 6

// An Entry is one counted try.
type Entry struct {
	Seq, Attempt, Elem uint8
	Held, Foreign      bool
}

// A Record is what the backend holds for the user.
type Record struct {
	Version uint8
	Seq     uint8
	Locked  bool
	Epoch   uint8 // resets so far: unlocks and new keys
	N       uint8
	Entries [MaxEntries]Entry
}

// Used is the durable count.
func (r *Record) Used() (n int) {
	for _, e := range r.Entries[:r.N] {
		if e.Held {
			n++
		}
	}
	return n
}

func (r *Record) find(attempt uint8) *Entry {
	for i := range r.Entries[:r.N] {
		if r.Entries[i].Attempt == attempt {
			return &r.Entries[i]
		}
	}
	return nil
}

// Kind is what a request asks for.
type Kind uint8

// Kinds of requests.
const (
	Try     Kind = iota + 1
	Confirm      // signed by the confirm key for every answered try, foreign ones included by malice
	Replay       // the bytes of the first Confirm, once more
	Unlock       // the administrator's order
	NewKey       // a Commit with a new OPRF key
	Read         // Policy or Status
)

// An Op is one request.
type Op struct {
	Kind          Kind
	Attempt, Elem uint8 // of a Try
	Foreign       bool  // a Try of the device bound before
	Replica       uint8
}

// A Scenario is what happens at once, and how often a request may die.
type Scenario struct {
	Name    string
	Ops     []Op
	Crashes uint8
}

// PC is where a request stands.
type PC uint8

// Positions of a request.
const (
	start PC = iota
	read
	write
	lock
	answer
	done
)

// Result is how a request ended.
type Result uint8

// Results.
const (
	none Result = iota
	ok
	refused
	locked
	failed // a server error
)

type proc struct {
	pc      PC
	crashes uint8
	result  Result
	snap    Record
	list    [MaxEntries]Entry // of a Confirm: what it names
	n       uint8
}

// State is everything at one moment. It is comparable.
type State struct {
	rec   Record
	procs [MaxProcs]proc
	// What an observer outside remembers.
	answered  [MaxEntries + 2]uint8 // by attempt: the element that was answered, 0 = none
	counted   [MaxEntries + 2]uint8 // by attempt: seq when it was first durable
	epochOf   [MaxEntries + 2]uint8 // by attempt: the epoch it was counted in
	confirmed [MaxEntries + 2]bool
	first     [MaxEntries]Entry // the first Confirm's list
	nFirst    uint8
	memory    [2]uint8 // tries each replica remembers; only a planted bug looks at it
}

// Bug is a fault planted in the model.
type Bug uint8

// Planted bugs.
const (
	NoBug Bug = iota
	AnswerFirst
	BlindWrite
	OffByOne
	CountAgain
	OtherElement
	LockOnLast
	ConfirmAfterLimit
	ConfirmForeign
	UnlockRewinds
	CountInMemory
	ContentionIsError
	ReadLocks
	bugEnd
)

// Bugs lists every planted bug by name.
func Bugs() map[Bug]string {
	return map[Bug]string{
		AnswerFirst: "the answer leaves before the count is durable", BlindWrite: "compare-and-set compares nothing",
		OffByOne: "one try above the limit", CountAgain: "a repeated attempt is counted again",
		OtherElement: "an attempt is answered for two elements", LockOnLast: "the last permitted try locks",
		ConfirmAfterLimit: "a confirmation is refused while locked", ConfirmForeign: "a confirmation forgives another device's tries",
		UnlockRewinds: "an unlock begins to number anew",
		CountInMemory: "a replica counts in its memory", ContentionIsError: "a lost compare-and-set is an error", ReadLocks: "a read locks",
	}
}
