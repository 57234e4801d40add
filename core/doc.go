// Package core holds the contracts of keposs. It is the page to read first.
//
// keposs keeps a person's SM2 private key d_M sealed under a master key MK
// that is derived from that person's own traits (PPD) and from an anchor only
// the terminal can open. The sealed key lives at a server that counts guesses
// and can never read it. The standard is T/EMCG 001.3-2019 (CMMST-KEPOSS).
//
// # Contracts
//
//   - [Source] and [Capture]: what a person knows, has or is → a stable secret
//   - [Sensor]: a plugin that only captures; built-in sources do the rest
//   - [Prompter]: how a source asks; the host owns the screen
//   - [KDF]: the slow derivation
//   - [Backend]: where SS-CC keeps sealed records
//   - [Code] and [Error]: the one list of failures, the same across processes
//
// # Flows (clause 7)
//
//   - 7.1 initialise: self-test, probes, connect, make d_M, collect PPD, derive
//     MK, seal, derive once more and open, wipe, Prepare and Commit at SS-CC
//   - 7.2 sign: check policy, collect PPD, Fetch (a counted try), derive, open,
//     sign, wipe, Confirm
//   - 7.3 verify: needs no secret
//   - decrypt is 7.2 with decryption in place of signing
//
// # Rooms
//
// core/secret wipeable buffers · core/enc the injective encoding · core/sm the
// only door to gmsm · core/policy factor trees · core/mf KEPOSS-MF/1 ·
// core/oprf the SM2-SM3 OPRF · core/protocol the messages both components
// speak · core/mstcc the terminal component · core/sscc the server component.
// Nothing in core imports a network, a plugin framework or a database.
package core
