package main

import "golang.org/x/sys/unix"

// noCore keeps every process of keposs out of core files: PPD and keys pass
// through its memory.
// req: K-5.3-02d, K-15.5-03a
func noCore() { _ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) }
