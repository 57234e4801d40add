// Package mf is KEPOSS-MF/1: one master key MK from many factors of a person
// (PPD) and an anchor that only the terminal, or a recovery code, can open.
//
// The normative description is docs/mf1.md; this package and the Python in
// testdata/crosscheck are its two implementations. What it is built to hold:
// for knowledge and possession factors the cheapest test anywhere costs one
// full slow KDF over a complete authorised set; SS-CC alone can test nothing,
// because the anchor enters every set; a biometric helper carries no tag.
//
// # Enrolment (clause 7.1)
//
//	e, _ := mf.NewEnrolment(params, rand)
//	for each label: bk := e.TransformKey(label); en := source.Enroll(…bk…); e.SetFactor(label, en)
//	sealed, _ := e.Seal(ctx, kdf, bundle) // derives once more from what will be stored, and opens it
//
// # Derive (clause 7.2)
//
//	c, _ := mf.Check(policy, expect)      // step 0, whole: before any prompt, source or slow call
//	… every source of the chosen set captures …
//	o, _ := mf.NewOpener(c, holder, deviceSecret)
//	o.Choose(set)
//	for each label: in, _ := o.RecoverInputs(label); s := capture.Recover(…in…); o.SetFactor(label, s)
//	o.Stretch(ctx, kdf)
//	hardened: u := the OPRF's answer for o.OPRFInput()
//	opened, err := o.Finish(u)            // core.Auth: some factor was wrong, never which
//	bundle, _ := opened.OpenBlob(blob, pubs)
//
// # Life after enrolment
//
// [Opened.Edit] changes, adds and removes factors, sets the tree and raises the
// cost; [Opened.AddRecovery] adds the recovery code; [Opened.Revoke] makes
// everything new, also after [CheckSheet] opened the policy with a recovery
// code on a new terminal. All are pure: they return what to store.
//
// The formats ([EncodePolicy], the blob, [TrustRecord], [Sheet]) are version 1,
// frozen: the golden files in testdata must parse for ever.
//
// Secrets are held in secret buffers or fixed arrays and wiped by Wipe; every
// type here that has a Wipe wants it called on every path.
package mf
