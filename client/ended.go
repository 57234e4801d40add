package client

import (
	"errors"

	"github.com/keposs/keposs/core/mstcc"
)

// forgetEnded removes the app's copies when the administrator ended the user or
// the app: the module has erased its own records then. A terminal at its end of
// life must be provisioned again to be used.
// req: K-17.1-10
func (c *Client) forgetEnded() error {
	switch _, bound := c.module.UserID(); {
	case c.module.State() == mstcc.EOL:
		return errors.Join(c.folder.forget(userFile), c.folder.forget(bindingFile))
	case c.module.State() == mstcc.Init && !bound:
		return c.folder.forget(userFile)
	}
	return nil
}
