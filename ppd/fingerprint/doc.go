// Package fingerprint turns minutiae into a stable secret.
//
// A reader with a template extractor gives ISO/IEC 19794-2:2005 or ANSI INCITS
// 378 records; images never enter. Two to five enrolment captures are aligned in
// the clear and merged. Six well-supported minutiae, the constellation, fix the
// frame; the others, quantised on a hexagonal grid and mapped to field elements
// by the record's own key, lock a polynomial in an improved fuzzy vault
// (package fuzzy). At recovery the query is aligned on the constellation and a
// randomised decoder with a work budget looks for genuine points.
//
// The helper is about 100 bytes, of fixed length, and every value in it is
// encoded so that any bytes decode to a plausible helper: unmasking with a
// wrong key tells nothing. Nothing else is stored: no hash, no tag, no count.
//
// One finger is worth 35 to 40 bits of decoder work once its helper is readable
// (design page biometrics); the anchor keeps it unreadable. Liveness (ISO/IEC
// 30107) is the sensor's.
package fingerprint
