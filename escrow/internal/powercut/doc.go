// Package powercut gives tests a disk whose power can be cut: a file system of
// its own over a loop device, shut down without writing its journal out, so
// that whatever was not synced is gone. It is for tests on Linux as root and
// skips elsewhere with the reason.
package powercut
