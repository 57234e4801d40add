// Package cputime reads how much processor time was used: what a run would take
// on an idle core, told on a busy one.
package cputime
