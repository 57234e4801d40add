// Package lab measures biometric sources on data sets: failure to enrol,
// false non-match and false match rates, bits, times, and what a plain matcher
// reaches on the same data (ISO/IEC 19795-1). Every figure is deterministic for
// a seed; intervals are bootstrapped over subjects.
package lab
