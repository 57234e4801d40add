// Package mstcc is the terminal component MST-CC of T/EMCG 001.3-2019.
//
// A Module is one binding of one user on one terminal. It drives the flows of
// clause 7 through the state table of requirement part 10 (table.go), asks PPD
// sources for factor secrets, combines them through core/mf into MK, keeps the
// sealed keys at SS-CC through the port Escrow, and wipes what it used.
//
// What rests on the terminal's disk, and nothing else (attack test 35):
//
//   - the key store: device secrets (one per trust slot) and the device key
//   - the trust record: what policy and keys to accept (core/mf)
//   - the try counter with the memory of SS-CC's counter head (tries.go)
//   - the profile sealed at initialisation (profile.go)
//   - the journal of one unfinished Commit (journal.go)
//
// All but the key store are authenticated under the device secret. Policy,
// sealed keys and OPRF keys are never written: beside the device secret they
// would be an offline search.
//
// Life after initialisation is Change, AddRecovery, Revoke and Recover, each one
// transaction: a new generation is built and derived once more, the trust record
// takes it as pending, SS-CC stages it at Prepare and serves it from Commit on,
// then it is promoted. Stopped anywhere, exactly one of old and new opens.
// PlanChange says beforehand what a change will ask for.
//
// Clock, entropy, sources, KDFs, transport, self-tests and crash points come
// in through Config, so that every path can be tested.
package mstcc
