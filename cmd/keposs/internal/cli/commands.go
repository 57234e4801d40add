package cli

import "github.com/spf13/cobra"

// commandGroups is the whole list, in the order of the help.
var commandGroups = []struct {
	group string
	build func(*Env) []*cobra.Command
}{
	{groupLook, labCommands},
	{groupLook, versionCommands},
}
