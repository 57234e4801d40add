package glue

import (
	"math"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/plugins/internal/wire"
)

// Conversions between the contracts of core and their messages. Numbers that
// do not fit are cut to the nearest bound, so that a check above sees them.

func clamp(n int) int32 {
	return int32(min(max(n, math.MinInt32), math.MaxInt32))
}

func fieldsOut(fs []core.ConfigField) []*wire.ConfigField {
	var out []*wire.ConfigField
	for _, f := range fs {
		out = append(out, &wire.ConfigField{Name: f.Name, Type: f.Type, Default: f.Default, Help: f.Help})
	}
	return out
}

func fieldsIn(fs []*wire.ConfigField) []core.ConfigField {
	var out []core.ConfigField
	for _, f := range fs {
		out = append(out, core.ConfigField{Name: f.GetName(), Type: f.GetType(), Default: f.GetDefault(), Help: f.GetHelp()})
	}
	return out
}

func kindsOut(ks []core.SampleKind) []string {
	var out []string
	for _, k := range ks {
		out = append(out, string(k))
	}
	return out
}

func kindsIn(ks []string) []core.SampleKind {
	var out []core.SampleKind
	for _, k := range ks {
		out = append(out, core.SampleKind(k))
	}
	return out
}

func rangeOut(r core.Range) *wire.Range { return &wire.Range{Min: clamp(r.Min), Max: clamp(r.Max)} }

func rangeIn(r *wire.Range) core.Range {
	return core.Range{Min: int(r.GetMin()), Max: int(r.GetMax())}
}

func strengthOut(s core.Strength) *wire.Strength {
	return &wire.Strength{PerTry: uint32(s.PerTry), BestGuess: uint32(s.BestGuess), Offline: uint32(s.Offline), Evidence: s.Evidence}
}

func strengthIn(s *wire.Strength) core.Strength {
	return core.Strength{
		PerTry: core.Millibits(s.GetPerTry()), BestGuess: core.Millibits(s.GetBestGuess()),
		Offline: core.Millibits(s.GetOffline()), Evidence: s.GetEvidence(),
	}
}

func sourceOut(i core.SourceInfo) *wire.SourceInfo {
	return &wire.SourceInfo{
		Name: i.Name, Version: i.Version, Kind: wire.FactorKind(i.Kind), Format: i.Format, Formats: i.Formats,
		Samples: kindsOut(i.Samples), EnrollCaptures: rangeOut(i.EnrollCaptures), RecoverCaptures: rangeOut(i.RecoverCaptures),
		Strength: strengthOut(i.Strength), HelperSize: clamp(i.HelperSize), RecoverTimeNs: int64(i.RecoverTime),
		PadLevel: i.PADLevel, Schema: fieldsOut(i.Schema), Params: fieldsOut(i.Params),
	}
}

func sourceIn(m *wire.SourceInfo) core.SourceInfo {
	return core.SourceInfo{
		Name: m.Name, Version: m.Version, Kind: core.FactorKind(m.Kind), Format: m.Format, Formats: m.Formats,
		Samples: kindsIn(m.Samples), EnrollCaptures: rangeIn(m.EnrollCaptures), RecoverCaptures: rangeIn(m.RecoverCaptures),
		Strength: strengthIn(m.Strength), HelperSize: int(m.HelperSize), RecoverTime: time.Duration(m.RecoverTimeNs),
		PADLevel: m.PadLevel, Schema: fieldsIn(m.Schema), Params: fieldsIn(m.Params),
	}
}

func promptOut(p core.Prompt) *wire.Prompt {
	return &wire.Prompt{
		Kinds: kindsOut(p.Kinds), Label: p.Label, Purpose: wire.Purpose(p.Purpose), Index: clamp(p.Index), Total: clamp(p.Total),
		Text: p.Text, Refusal: p.Refusal, Grid: clamp(p.Grid), MinLen: clamp(p.MinLen), MaxLen: clamp(p.MaxLen),
	}
}

// promptIn also cleans what a plugin wants on the person's screen.
func promptIn(m *wire.Prompt) core.Prompt {
	return core.Prompt{
		Kinds: kindsIn(m.Kinds), Label: clean(m.Label, 256), Purpose: core.Purpose(m.Purpose), Index: int(m.Index), Total: int(m.Total),
		Text: clean(m.Text, maxMsg), Refusal: clean(m.Refusal, maxMsg), Grid: int(m.Grid), MinLen: int(m.MinLen), MaxLen: int(m.MaxLen),
	}
}

// sampleOut takes over the sample and wipes it.
func (l *link) sampleOut(s core.Sample) (*wire.Sample, error) {
	defer s.Data.Wipe()
	data, err := l.out("sample", s.Data)
	if err != nil {
		return nil, err
	}
	return &wire.Sample{Kind: string(s.Kind), Model: s.Model, Data: data}, nil
}

// sampleIn returns a sample owned by the caller.
func (l *link) sampleIn(m *wire.Sample) (core.Sample, error) {
	data, err := l.required("sample", m.GetData())
	if err != nil {
		return core.Sample{}, err
	}
	return core.Sample{Kind: core.SampleKind(m.Kind), Model: m.Model, Data: data}, nil
}

func paramsOut(p core.Params) *wire.Params {
	m := &wire.Params{Name: p.Name}
	for _, v := range p.Values {
		m.Values = append(m.Values, &wire.Param{Key: v.Key, N: v.N})
	}
	return m
}

// paramsIn keeps order and repetitions: refusing them is the KDF's duty.
func paramsIn(m *wire.Params) core.Params {
	p := core.Params{Name: m.GetName()}
	for _, v := range m.GetValues() {
		p.Values = append(p.Values, core.Param{Key: v.GetKey(), N: v.GetN()})
	}
	return p
}

func limitsOut(l core.Limits) *wire.Limits {
	return &wire.Limits{Floor: l.Floor, Ceiling: l.Ceiling, MaxMemory: l.MaxMemory}
}

func limitsIn(m *wire.Limits) core.Limits {
	return core.Limits{Floor: m.GetFloor(), Ceiling: m.GetCeiling(), MaxMemory: m.GetMaxMemory()}
}

func recordOut(r core.Record) *wire.Record {
	return &wire.Record{Key: r.Key, Version: uint64(r.Version), Hot: r.Hot, Blob: r.Blob, ReqId: reqOut(r.ReqID)}
}

func recordIn(m *wire.Record) (core.Record, error) {
	id, err := reqIn(m.GetReqId())
	return core.Record{Key: m.GetKey(), Version: core.Version(m.GetVersion()), Hot: m.GetHot(), Blob: m.GetBlob(), ReqID: id}, err
}

func recordSize(r core.Record) int { return len(r.Key) + len(r.Hot) + len(r.Blob) + 64 }

func recordsIn(ms []*wire.Record) ([]core.Record, error) {
	if len(ms) == 0 {
		return nil, nil
	}
	out := make([]core.Record, len(ms))
	for i, m := range ms {
		r, err := recordIn(m)
		if err != nil {
			return nil, err
		}
		out[i] = r
	}
	return out, nil
}

// reqOut leaves out the zero id, which most absent records have.
func reqOut(id core.ReqID) []byte {
	if id == (core.ReqID{}) {
		return nil
	}
	return append([]byte(nil), id[:]...)
}

func reqIn(b []byte) (id core.ReqID, err error) {
	if len(b) != 0 && len(b) != len(id) {
		return id, core.Errorf(core.Invalid, "plugin", "a request id has %d bytes, want %d", len(b), len(id))
	}
	copy(id[:], b)
	return id, nil
}
