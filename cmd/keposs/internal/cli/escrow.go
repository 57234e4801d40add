package cli

import (
	"fmt"

	"github.com/spf13/pflag"

	"github.com/keposs/keposs/core/protocol"
)

// registerEscrow adds --escrow to a command that makes a user.
func registerEscrow(f *pflag.FlagSet, mode *string) {
	f.StringVar(mode, "escrow", protocol.ModeHardened.String(),
		"hardened: every complete guess costs a counted try at SS-CC; plain: clause 7 to the letter, a thief of the terminal searches offline; sealed")
}

// escrowMode reads --escrow of a command; Usage when it is neither.
func escrowMode(command, text string) (protocol.Mode, error) {
	m, err := protocol.ParseMode(text)
	if err != nil {
		return m, usagef(command, "--escrow %q, want plain or hardened", text)
	}
	return m, nil
}

// attackers tells what the escrow mode does against whom, one line each. It
// speaks of factors that can be guessed: PIN and gesture.
func attackers(mode string, limit uint32) []string {
	const operator = "operator of SS-CC, database and keys: no guess can be tested without this terminal's anchor"
	const both = "thief and operator together: search offline; only the factors' own strength stops them"
	switch mode {
	case protocol.ModePlain.String():
		return []string{
			"thief of this terminal: NOT stopped, searches a PIN offline after one uncounted call",
			operator, both,
		}
	case protocol.ModeHardened.String():
		return []string{
			fmt.Sprintf("thief of this terminal: at most %d guesses, then an administrator must unlock", limit),
			fmt.Sprintf("thief with a stolen database too: the same %d, the database is sealed", limit),
			operator, both,
		}
	}
	return nil
}
