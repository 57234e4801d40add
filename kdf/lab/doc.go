// Package lab is the KDF laboratory: what a derivation costs the defender, what
// it costs an attacker on the same machine, and what that means in guesses,
// hours and money against the PINs and patterns people really choose.
//
// One [Run] gives one [Result], which is also the JSON of the published schema
// ([SchemaText]) and the input of the report, of CSV and of [Compare]. Every
// figure stands beside its raw samples and a description of the machine.
// Ratios between implementations are medians over rounds in which all of them
// ran one after the other, in CPU time, so that a busy machine moves them
// little.
package lab
