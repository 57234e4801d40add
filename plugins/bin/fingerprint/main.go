// Command fingerprint serves the built-in fingerprint source as a plugin of its own.
package main

import (
	"fmt"
	"os"

	"github.com/keposs/keposs/plugins"
	"github.com/keposs/keposs/ppd/fingerprint"
)

func main() {
	s, err := fingerprint.New(nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	plugins.ServeSource(s)
}
