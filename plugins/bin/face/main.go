// Command face serves the built-in face source as a plugin of its own.
package main

import (
	"fmt"
	"os"

	"github.com/keposs/keposs/plugins"
	"github.com/keposs/keposs/ppd/face"
)

func main() {
	s, err := face.New(nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	plugins.ServeSource(s)
}
