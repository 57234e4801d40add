package glue

import (
	"context"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/plugins/internal/wire"
)

type sensorServer struct {
	wire.UnimplementedSensorServer
	link *link
	impl core.Sensor
}

func (s *sensorServer) Describe(ctx context.Context, _ *wire.Empty) (*wire.SensorInfo, error) {
	i, err := s.impl.Describe(ctx)
	if err != nil {
		return nil, err
	}
	return &wire.SensorInfo{
		Name: i.Name, Version: i.Version, Samples: kindsOut(i.Samples), Model: i.Model,
		PadLevel: i.PADLevel, Schema: fieldsOut(i.Schema),
	}, nil
}

func (s *sensorServer) Configure(ctx context.Context, m *wire.Config) (*wire.Empty, error) {
	return configure(ctx, s.link, m, s.impl.Configure)
}

func (s *sensorServer) Sample(ctx context.Context, m *wire.Prompt) (*wire.Sample, error) {
	got, err := s.impl.Sample(ctx, promptIn(m))
	if err != nil {
		got.Data.Wipe()
		return nil, err
	}
	return s.link.sampleOut(got)
}

// sensorHost is a core.Sensor whose implementation is a plugin.
type sensorHost struct {
	h *Host
	c wire.SensorClient
}

// Sensor returns the plugin as a core.Sensor.
func (h *Host) Sensor() core.Sensor { return &sensorHost{h, wire.NewSensorClient(h.conn)} }

func (s *sensorHost) op(call string) string { return "sensor " + s.h.Info.Name + ": " + call }

func (s *sensorHost) Describe(ctx context.Context) (core.SensorInfo, error) {
	m, err := s.c.Describe(ctx, &wire.Empty{})
	if err != nil {
		return core.SensorInfo{}, statusIn(ctx, s.op("describe"), err, reads)
	}
	return core.SensorInfo{
		Name: m.Name, Version: m.Version, Samples: kindsIn(m.Samples), Model: m.Model,
		PADLevel: m.PadLevel, Schema: fieldsIn(m.Schema),
	}, nil
}

func (s *sensorHost) Configure(ctx context.Context, c core.Config) error {
	m, err := s.h.link.configOut(c)
	if err != nil {
		return err
	}
	_, err = s.c.Configure(ctx, m)
	return statusIn(ctx, s.op("configure"), err, reads)
}

func (s *sensorHost) Sample(ctx context.Context, p core.Prompt) (core.Sample, error) {
	m, err := s.c.Sample(ctx, promptOut(p))
	if err != nil {
		return core.Sample{}, statusIn(ctx, s.op("sample"), err, reads)
	}
	return s.h.link.sampleIn(m)
}
