package check

import (
	"context"

	"github.com/keposs/keposs/plugins/internal/wire"
)

// Identity is what a program says of itself by Control.Describe.
type Identity struct{ Kind, Name, Version string }

// Identify starts t's program once and asks what it is. A program that serves
// several plugins is told which by t's kind and name.
func Identify(ctx context.Context, t Target) (i Identity, err error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	s, err := open(ctx, t)
	if err != nil {
		return i, err
	}
	defer s.close()
	c, err := s.dial(s.cert)
	if err != nil {
		return i, err
	}
	defer c.Close()
	d, err := wire.NewControlClient(c).Describe(ctx, &wire.DescribeRequest{})
	if err != nil {
		return i, err
	}
	return Identity{Kind: d.Kind, Name: d.Name, Version: d.Version}, nil
}
