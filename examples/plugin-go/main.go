// Command keystroke is an example of a whole biometric source as a plugin: the
// rhythm of typing one fixed phrase, over the codes of ppd/fuzzy.
//
// It shows the parts and how they fit. It is no factor to rely on: a rhythm is
// worth few bits, can be watched, and the figures here are of made-up people.
package main

import "github.com/keposs/keposs/plugins"

func main() { plugins.ServeSource(New()) }
