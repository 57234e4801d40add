// Command pin serves the built-in pin source as a plugin of its own.
package main

import (
	"github.com/keposs/keposs/plugins"
	"github.com/keposs/keposs/ppd/pin"
)

func main() { plugins.ServeSource(pin.New()) }
