//go:build !linux

package link

import (
	"context"

	"github.com/keposs/keposs/core"
)

// Dial has one answer here: an agent needs the peer's credentials and a folder
// only its user enters; elsewhere than on Linux level 2 rests on the system's
// own processes or is not claimed.
func Dial(context.Context, string) (*Conn, error) {
	return nil, core.Errorf(core.Unsupported, "client: agent", "keposs agent runs on Linux only")
}
