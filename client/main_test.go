package client

import (
	"testing"

	"github.com/keposs/keposs/client/builtin"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/plugins"
)

// The test binary is also every plugin process of the clients it opens.
func TestMain(m *testing.M) {
	plugins.MainIfPlugin(plugins.Registry{
		Source: builtin.Source, KDF: builtin.KDF,
		Sensor: func(string) (core.Sensor, error) { return &camera{}, nil },
	})
	m.Run()
}
