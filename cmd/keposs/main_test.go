package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// The test binary is also the keposs command of the scripts, and through it
// every plugin process and SS-CC.
func TestMain(m *testing.M) {
	reexec()
	testscript.Main(m, map[string]func(){"keposs": main})
}
