// Command etcd serves the built-in etcd storage backend as a plugin of its own.
package main

import (
	"github.com/keposs/keposs/escrow/etcd"
	"github.com/keposs/keposs/plugins"
)

func main() { plugins.ServeBackend(etcd.New()) }
