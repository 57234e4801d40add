package client

import (
	"context"
	"testing"

	"github.com/keposs/keposs/client/builtin"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/internal/testenv"
	"github.com/keposs/keposs/plugins"
	"github.com/keposs/keposs/ppd/pin"
)

// The test binary is also every plugin process of the clients it opens.
func TestMain(m *testing.M) {
	plugins.MainIfPlugin(plugins.Registry{
		Source: func(name string) (core.Source, error) {
			if name == "mine" {
				return mine{pin.New()}, nil
			}
			return builtin.Source(name)
		},
		KDF:    builtin.KDF,
		Sensor: func(string) (core.Sensor, error) { return &camera{}, nil },
	})
	child()
	m.Run()
}

// mine is a source of the operator's. Its version is the last byte of its
// image, which a test may change without harm to the program.
type mine struct{ core.Source }

func (m mine) Describe(ctx context.Context) (core.SourceInfo, error) {
	i, err := m.Source.Describe(ctx)
	if err != nil {
		return i, err
	}
	i.Name = "mine"
	i.Version, err = testenv.SelfEnd()
	return i, err
}
