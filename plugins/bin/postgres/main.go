// Command postgres serves the built-in postgres storage backend as a plugin of its own.
package main

import (
	"github.com/keposs/keposs/escrow/postgres"
	"github.com/keposs/keposs/plugins"
)

func main() { plugins.ServeBackend(postgres.New()) }
