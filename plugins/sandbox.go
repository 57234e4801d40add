package plugins

import "github.com/keposs/keposs/plugins/internal/launch"

// Sandbox says in one line how the processes of confined plugins
// (Options.Confine) are shut off on this machine; "" where the kernel has no means.
func Sandbox() string { return launch.Confinement() }
