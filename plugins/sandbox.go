package plugins

// Sandbox says in one line how the processes of source plugins are shut off on
// this machine, as plugin doctor and agent status report it.
func Sandbox() string { return "" }
