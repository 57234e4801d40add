// Package fingerprint turns minutiae into a stable secret.
//
// A reader with a template extractor gives ISO/IEC 19794-2:2005 or ANSI INCITS
// 378 records; images never enter. Two to five enrolment captures are aligned in
// the clear and merged. Eight well-supported minutiae, spread over the finger,
// are the constellation that fixes the frame; the others, quantised on a
// hexagonal grid and mapped to field elements by the record's own key, lock a
// polynomial in an improved fuzzy vault (package fuzzy). At recovery the query
// is aligned on the constellation and a randomised decoder with a work budget
// looks for genuine points among the likeliest cells.
//
// The helper has 99 bytes for one finger, and every bytes of that length are a
// plausible helper: unmasking with a wrong key tells nothing. Nothing else is
// stored: no hash, no tag, no count.
//
// One finger is worth 33 to 38 bits of decoder work once its helper is readable
// (docs/fingerprint.md); the anchor keeps it unreadable. Liveness (ISO/IEC
// 30107) is the sensor's.
package fingerprint
