// Package transfer moves whole stores: from one backend to another while it is
// served or at rest (Copy, Live.Move), and to a portable file and back
// (Snapshot, Restore, Verify).
//
// It sees what a backend sees: sealed records under keys that name nobody.
// Versions, request ids and tombstones move with the content, since seals are
// bound to versions and a counter must never seem younger than it is.
//
// Three rules hold whatever interrupts it:
//
//   - a target can be served only once it is whole: the record SS-CC cannot
//     start without (Options.Last) is copied when all others are there
//   - a record of the target is never replaced by an older one, and a target
//     that is newer than its source, or holds records of another realm, is
//     refused
//   - a source whose place was taken says so (Moved), so that nobody serves its
//     old counters by mistake
package transfer
