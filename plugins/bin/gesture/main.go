// Command gesture serves the built-in gesture source as a plugin of its own.
package main

import (
	"github.com/keposs/keposs/plugins"
	"github.com/keposs/keposs/ppd/gesture"
)

func main() { plugins.ServeSource(gesture.New()) }
