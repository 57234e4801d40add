// Command keposs is the terminal, the server, the administrator's tool and the
// laboratory in one binary. It also is every built-in plugin: started again by
// itself it serves one (plugins, built-in trust state "none").
package main

import (
	"os"

	"github.com/keposs/keposs/cmd/keposs/internal/builtins"
	"github.com/keposs/keposs/cmd/keposs/internal/cli"
	"github.com/keposs/keposs/plugins"
)

// reexec makes this process the plugin it was started as, if it was.
func reexec() { plugins.MainIfPlugin(builtins.Registry()) }

func main() {
	noCore()
	reexec()
	os.Exit(cli.Main(os.Args[1:], cli.NewEnv()))
}
