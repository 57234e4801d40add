// Package sm is the only door of keposs to the Chinese commercial algorithms:
// SM2 (GM/T 0003), SM3 (GM/T 0004), SM4 (GM/T 0002) and the SM3 Hash_DRBG of
// GM/T 0105. Nothing else in core imports gmsm.
//
// SM2 signs and verifies messages under an explicit user id only. There is no
// call that takes a digest, so a digest can never be signed as if it were a
// message, nor a message cut to 32 bytes as one.
//
// # No copy of a secret is left behind
//
// A private scalar, its (1+d)^-1 and every nonce live in fixed arrays of this
// package; they never enter math/big or gmsm's PrivateKey, which leave copies
// in caches and freed buffers. gmsm's curve (sm2/sm2ec) computes k·G and d·C
// from bytes this package owns; its stack is overwritten before the call
// returns, hash and cipher states are zeroed. docs/sm.md says how that is
// shown and what it does not cover.
//
// Everything here works in constant time on secrets, up to gmsm's assembly.
// Errors are *core.Error: Invalid for input that breaks a rule, Corrupt for a
// ciphertext that does not open, Usage for a wrong call, Integrity for a
// failed self-test or entropy source.
package sm
