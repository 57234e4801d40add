// Command memory serves the built-in memory storage backend as a plugin of its own.
package main

import (
	"github.com/keposs/keposs/escrow/memory"
	"github.com/keposs/keposs/plugins"
)

func main() { plugins.ServeBackend(memory.New()) }
