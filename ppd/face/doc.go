// Package face turns face embeddings into a stable secret.
//
// A model outside keposs (ArcFace and its kin) gives an embedding, 64 to 1024
// numbers. The source normalises it, removes the mean of the deployment's
// camera and whitens (Profile), averages three to five enrolment captures,
// rotates by a key that only this record has, and takes 128 signs. They are
// hidden by a random word of an extended BCH code (code-offset construction,
// Juels and Wattenberg 1999; Dodis et al. 2008); at recovery the query's real
// values drive an ordered-statistics decoder.
//
// What is stored is 16 bytes, uniform to whoever lacks the bind key. Nothing
// else of the face rests anywhere: no magnitude, mask, mean, tag or hash,
// because each of those was broken on real data (design page biometrics).
//
// A face is worth 15 to 20 bits (docs/faces.md); the source claims what sessions
// of several captures measured. Liveness
// (ISO/IEC 30107) is the sensor's.
package face
