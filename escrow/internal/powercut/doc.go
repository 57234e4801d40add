// Package powercut gives tests a disk whose power can be cut; internal/cutdisk
// does the work. Where it cannot, the test is skipped with the reason.
package powercut
