// Command badger serves the built-in badger storage backend as a plugin of its own.
package main

import (
	"github.com/keposs/keposs/escrow/badger"
	"github.com/keposs/keposs/plugins"
)

func main() { plugins.ServeBackend(badger.New()) }
