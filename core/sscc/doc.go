// Package sscc is the server component SS-CC of T/EMCG 001.3-2019.
//
// A Server keeps, for each user, a sealed record: the public policy, the keys
// sealed under MK (which it can never open), in hardened mode the user's OPRF
// key, and a counter of tries. It hands the sealed keys or an evaluation to
// the bound device only, one durable count each, and gives counts back only
// for a signature made with a key that nobody has without the right PPD.
//
// # Truth
//
// All truth is in the backend, one record per user, changed by compare-and-set
// only. A Server holds nothing another replica could miss: caches are keyed by
// content, rate limits are a cover and not a count. Everything stored is sealed
// under keys wrapped by the root key (seal.go, boot.go); a backend sees neither
// identifiers nor content.
//
// # Order
//
//   - the count is durable before the answer leaves (I1)
//   - a repeated request gets the same answer, counted once (I2)
//   - a lost compare-and-set is retried inside (I3)
//   - a confirmation is looked at before the limit (I4)
//
// # Log
//
// The audit log is one SM3 chain for the realm, its head signed by SS-CC's
// identity key and kept outside the backend too (Config.Heads): a backend that
// was rolled back freezes every user it holds. Events are stored in the
// background within a fraction of a second; with Config.FailClosed no answer
// leaves before its event is durable.
//
// # Keys
//
// The root key is wrapped by the administrator's password and, as he allows, by
// a backup password and a key file. It wraps the key ring: the identity key and
// the generations of record keys, which RotateKeys replaces while SS-CC serves.
//
// # Life
//
// The state table of requirement part 10 (table.go) drives a Machine of two
// regions: the officer's (login, administration) and the serving one. A Server
// starts SEALED; the administrator's password opens the root key (clause 10.3).
//
// There is no network here: escrow/api carries the calls.
package sscc
