package cli

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/client"
	"github.com/keposs/keposs/core"
)

// sensorFlag is which pinned sensors answer the prompts of the kinds they
// declare, and what they are set to.
type sensorFlag struct {
	names  []string
	config []string
}

func (f *sensorFlag) register(c *cobra.Command) {
	c.Flags().StringArrayVar(&f.names, "sensor", nil, "have a pinned sensor plugin take the samples it declares, by its `name`; may be repeated")
	c.Flags().StringArrayVar(&f.config, "sensor-config", nil, "a setting of the sensors as `[sensor:]name=value`, or @FILE with one a line; may be repeated")
}

// over puts the sensors before p. The second result ends their processes.
func (f *sensorFlag) over(ctx context.Context, store client.PinnedPlugins, p core.Prompter) (core.Prompter, func() error, error) {
	var open []*client.Sensor
	end := func() error {
		var errs []error
		for _, s := range open {
			errs = append(errs, s.Close())
		}
		return errors.Join(errs...)
	}
	settings, err := f.settings()
	if err != nil {
		return nil, end, err
	}
	for i := len(f.names) - 1; i >= 0; i-- { // the first named is asked first
		s, err := client.OpenSensor(ctx, client.SensorOptions{Pinned: store, Name: f.names[i], Settings: settings[f.names[i]], Else: p})
		if err != nil {
			return nil, end, errors.Join(err, end())
		}
		open = append(open, s)
		p = s
	}
	return p, end, nil
}

// settings sorts --sensor-config by sensor. A setting that names none goes to
// the only one.
func (f *sensorFlag) settings() (map[string]map[string]string, error) {
	const op = "sensor"
	out := map[string]map[string]string{}
	for _, n := range f.names {
		if out[n] != nil {
			return nil, usagef(op, "--sensor %s is given twice", n)
		}
		out[n] = map[string]string{}
	}
	lines, err := settingLines(op, f.config)
	if err != nil {
		return nil, err
	}
	for _, line := range lines {
		name, value, ok := strings.Cut(line, "=")
		sensor, rest, named := strings.Cut(name, ":")
		if named {
			name = rest
		} else if len(f.names) == 1 {
			sensor = f.names[0]
		}
		if !ok || name == "" || out[sensor] == nil {
			return nil, usagef(op, "--sensor-config %.40q, want [sensor:]name=value for a sensor of --sensor", line)
		}
		out[sensor][name] = value
	}
	return out, nil
}
