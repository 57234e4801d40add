package glue

import (
	"context"

	"google.golang.org/grpc"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/plugins/internal/wire"
)

type backendServer struct {
	wire.UnimplementedBackendServer
	link *link
	impl core.Backend
}

func (s *backendServer) unsupported(call string) error {
	return core.Errorf(core.Unsupported, "plugin: "+call, "this backend does not offer it")
}

func (s *backendServer) Describe(ctx context.Context, _ *wire.Empty) (*wire.BackendInfo, error) {
	i, err := s.impl.Describe(ctx)
	if err != nil {
		return nil, err
	}
	m := &wire.BackendInfo{Name: i.Name, Version: i.Version, Replicated: i.Replicated, Schema: fieldsOut(i.Schema)}
	_, m.Health = s.impl.(core.Healther)
	_, m.Export = s.impl.(core.Exporter)
	_, m.Watch = s.impl.(core.Feed)
	_, m.Fence = s.impl.(core.Fencer)
	return m, nil
}

func (s *backendServer) Configure(ctx context.Context, m *wire.Config) (*wire.Empty, error) {
	return configure(ctx, s.link, m, s.impl.Configure)
}

func (s *backendServer) GetMany(ctx context.Context, r *wire.GetManyRequest) (*wire.GetManyResponse, error) {
	keys := make([]core.Key, len(r.Keys))
	for i, k := range r.Keys {
		keys[i] = k
	}
	// As many as fit whatever they hold; the host asks for the rest.
	if most := budget / (core.MaxHot + core.MaxBlob + core.MaxKey + 64); !r.HotOnly && len(keys) > most && len(keys) <= core.MaxBatch {
		keys = keys[:most]
	}
	recs, err := s.impl.GetMany(ctx, keys, core.ReadOpts{Stale: r.Stale, HotOnly: r.HotOnly})
	if err != nil {
		return nil, err
	}
	m := &wire.GetManyResponse{}
	for _, rec := range recs {
		m.Records = append(m.Records, recordOut(rec))
	}
	return m, nil
}

func (s *backendServer) CommitMany(ctx context.Context, r *wire.CommitManyRequest) (*wire.CommitManyResponse, error) {
	ms := make([]core.Mutation, len(r.Mutations))
	for i, m := range r.Mutations {
		id, err := reqIn(m.GetReqId())
		if err != nil {
			return nil, err
		}
		ms[i] = core.Mutation{
			Key: m.GetKey(), Expect: core.Version(m.GetExpect()), Op: core.Op(m.GetOp()),
			Hot: m.GetHot(), Blob: m.GetBlob(), ReqID: id, Fence: m.GetFence(),
		}
	}
	results, err := s.impl.CommitMany(ctx, ms)
	if err != nil {
		return nil, err
	}
	out := &wire.CommitManyResponse{}
	for _, res := range results {
		out.Results = append(out.Results, &wire.Result{Version: uint64(res.Version), Error: errorOut(res.Err)})
	}
	return out, nil
}

func scanIn(r *wire.ScanRequest) core.ScanRequest {
	return core.ScanRequest{After: r.After, Limit: int(r.Limit), Hot: r.Hot, Blob: r.Blob, Tombs: r.Tombs}
}

// pageOut cuts a page to the budget; what is cut comes with the next page.
func pageOut(p core.Page) *wire.Page {
	m := &wire.Page{Next: p.Next}
	size := 0
	for i, r := range p.Records {
		if size += recordSize(r); size > budget && i > 0 {
			m.Next = p.Records[i-1].Key
			break
		}
		m.Records = append(m.Records, recordOut(r))
		if p.Deleted != nil {
			m.Deleted = append(m.Deleted, p.Deleted[i])
		}
	}
	return m
}

func (s *backendServer) Scan(ctx context.Context, r *wire.ScanRequest) (*wire.Page, error) {
	p, err := s.impl.Scan(ctx, scanIn(r))
	if err != nil {
		return nil, err
	}
	return pageOut(p), nil
}

func (s *backendServer) Health(ctx context.Context, _ *wire.Empty) (*wire.Empty, error) {
	h, ok := s.impl.(core.Healther)
	if !ok {
		return nil, s.unsupported("health")
	}
	return &wire.Empty{}, h.Health(ctx)
}

func (s *backendServer) Export(ctx context.Context, r *wire.ScanRequest) (*wire.Page, error) {
	x, ok := s.impl.(core.Exporter)
	if !ok {
		return nil, s.unsupported("export")
	}
	p, err := x.Export(ctx, scanIn(r))
	if err != nil {
		return nil, err
	}
	return pageOut(p), nil
}

func (s *backendServer) Import(ctx context.Context, r *wire.ImportRequest) (*wire.Empty, error) {
	x, ok := s.impl.(core.Exporter)
	if !ok {
		return nil, s.unsupported("import")
	}
	recs, err := recordsIn(r.Records)
	if err != nil {
		return nil, err
	}
	return &wire.Empty{}, x.Import(ctx, recs, r.Deleted)
}

func (s *backendServer) Watch(r *wire.WatchRequest, stream grpc.ServerStreamingServer[wire.Change]) error {
	f, ok := s.impl.(core.Feed)
	if !ok {
		return statusOut(s.unsupported("watch"))
	}
	return statusOut(f.Watch(stream.Context(), r.From, func(c core.Change) error {
		return stream.Send(&wire.Change{Record: recordOut(c.Record), Deleted: c.Deleted})
	}))
}

func (s *backendServer) RaiseFence(ctx context.Context, r *wire.RaiseFenceRequest) (*wire.Empty, error) {
	f, ok := s.impl.(core.Fencer)
	if !ok {
		return nil, s.unsupported("raise fence")
	}
	return &wire.Empty{}, f.RaiseFence(ctx, r.Fence)
}

func (s *backendServer) Close(context.Context, *wire.Empty) (*wire.Empty, error) {
	return &wire.Empty{}, s.impl.Close()
}
