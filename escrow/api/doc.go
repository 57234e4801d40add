// Package api carries the messages of core/protocol between MST-CC and SS-CC:
// gRPC over TLS 1.3 outside, a session by SM2 key exchange inside. docs/wire.md
// is normative and enough for a second implementation.
//
// A terminal enrols once with a Ticket (Enrol) and then holds a Conn (Dial),
// which implements mstcc.Escrow. The administrator holds an Admin (DialAdmin).
// SS-CC is a Server around core/sscc.
//
// What a failed call means: Unavailable, State, Throttled, Refused, Invalid,
// TooLarge and Unsupported were certainly not applied; Indeterminate may have
// been and is repeated with the same ids. The certificate is always verified,
// by the system's roots or by those that came with the ticket, and SS-CC must
// hold the identity key that was pinned.
package api
