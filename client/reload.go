package client

import "context"

// ReloadPlugins takes over, without a restart, the versions of pinned plugins
// that are pinned now (keposs plugin pin), with their settings, and names those
// that changed. What a service has begun with the old version it ends with it.
// Only plugins that were pinned when the client was opened are changed: the
// sealed set never grows (clause 10.2.3), and built-in or approved plugins
// change with the program only. A version that does not start changes nothing.
//
// req: K-10.2.3-01
func (c *Client) ReloadPlugins(ctx context.Context) (changed []string, err error) {
	if c.agent != nil {
		return ask[[]string](ctx, c.agent, "reload", nil)
	}
	return c.host.reload(ctx)
}
