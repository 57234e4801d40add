package cli

import "github.com/spf13/cobra"

// commandGroups is the whole list, in the order of the help.
var commandGroups = []struct {
	group string
	build func(*Env) []*cobra.Command
}{
	{groupStart, quickstartCommands},
	{groupUse, provisionCommands},
	{groupUse, userCommands},
	{groupUse, cryptoCommands},
	{groupUse, factorCommands},
	{groupUse, recoveryCommands},
	{groupUse, triesCommands},
	{groupUse, agentCommands},
	{groupServe, ssccCommands},
	{groupServe, adminCommands},
	{groupLook, selftestCommands},
	{groupLook, auditCommands},
	{groupLook, pluginCommands},
	{groupLook, imageCommands},
	{groupLook, labCommands},
	{groupLook, versionCommands},
}
