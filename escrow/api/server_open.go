package api

import (
	"context"
	"time"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/escrow/api/internal/wire"
)

// enrolService serves terminals that hold a ticket.
type enrolService struct {
	wire.UnimplementedEnrolmentServer
	s *Server
}

func (e *enrolService) Challenge(ctx context.Context, r *wire.EnrolChallengeRequest) (*wire.EnrolChallengeAnswer, error) {
	var ticket protocol.ID
	if err := idIn("ss-cc: enrol", r.GetTicket(), &ticket); err != nil {
		return nil, err
	}
	c, err := e.s.core.EnrolChallenge(ctx, ticket)
	if err != nil {
		return nil, err
	}
	return &wire.EnrolChallengeAnswer{Challenge: c[:]}, nil
}

func (e *enrolService) Enrol(ctx context.Context, r *wire.EnrolRequest) (*wire.EnrolAnswer, error) {
	const op = "ss-cc: enrol"
	var q protocol.EnrolRequest
	for _, f := range []struct {
		from []byte
		to   *protocol.ID
	}{{r.GetTicket(), &q.Ticket}, {r.GetApp(), &q.App}, {r.GetDevice(), &q.Device}} {
		if err := idIn(op, f.from, f.to); err != nil {
			return nil, err
		}
	}
	if len(r.GetKey()) != len(q.Key) || len(r.GetChallenge()) != len(q.Challenge) || len(r.GetMac()) != len(q.MAC) {
		return nil, core.Errorf(core.Invalid, op, "a field has the wrong length")
	}
	copy(q.Key[:], r.GetKey())
	copy(q.Challenge[:], r.GetChallenge())
	copy(q.MAC[:], r.GetMac())
	a, err := e.s.core.Enrol(ctx, q)
	if err != nil {
		return nil, err
	}
	return &wire.EnrolAnswer{Mac: a.MAC[:]}, nil
}

// infoService tells everybody who this SS-CC is.
type infoService struct {
	wire.UnimplementedInfoServer
	s *Server
}

func (i *infoService) Info(ctx context.Context, _ *wire.InfoRequest) (*wire.InfoAnswer, error) {
	realm, identity, ok, err := i.s.core.Realm(ctx)
	if err != nil {
		return nil, err
	}
	a := &wire.InfoAnswer{Oldest: oldestVersion, Newest: newestVersion, SetUp: ok,
		State: string(i.s.core.State()), Officer: string(i.s.core.Officer())}
	if ok {
		p := identity.Compressed()
		a.Realm, a.Identity = realm[:], p[:]
	}
	return a, nil
}

// healthService is grpc.health.v1 over the state of SS-CC, for load balancers.
// The empty name and the name of the Session service mean the same.
type healthService struct {
	healthpb.UnimplementedHealthServer
	s *Server
}

// watchEvery is how often a watcher looks.
const watchEvery = time.Second

func (h *healthService) status(ctx context.Context) healthpb.HealthCheckResponse_ServingStatus {
	if h.s.stopping() || h.s.core.Health(ctx) != nil {
		return healthpb.HealthCheckResponse_NOT_SERVING
	}
	return healthpb.HealthCheckResponse_SERVING
}

func known(service string) bool {
	return service == "" || service == wire.Session_ServiceDesc.ServiceName
}

func (h *healthService) Check(ctx context.Context, r *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	if !known(r.GetService()) {
		return nil, core.Errorf(core.NotFound, "ss-cc: health", "no such service")
	}
	return &healthpb.HealthCheckResponse{Status: h.status(ctx)}, nil
}

// Watch sends the status at once and whenever it changes.
func (h *healthService) Watch(r *healthpb.HealthCheckRequest, stream grpc.ServerStreamingServer[healthpb.HealthCheckResponse]) error {
	last := healthpb.HealthCheckResponse_UNKNOWN
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		now := healthpb.HealthCheckResponse_SERVICE_UNKNOWN
		if known(r.GetService()) {
			now = h.status(stream.Context())
		}
		if now != last {
			if err := stream.Send(&healthpb.HealthCheckResponse{Status: now}); err != nil {
				return err
			}
			last = now
		}
		select {
		case <-tick.C:
		case <-h.s.stop:
			return stream.Send(&healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_NOT_SERVING})
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

func (h *healthService) List(ctx context.Context, _ *healthpb.HealthListRequest) (*healthpb.HealthListResponse, error) {
	st := &healthpb.HealthCheckResponse{Status: h.status(ctx)}
	return &healthpb.HealthListResponse{Statuses: map[string]*healthpb.HealthCheckResponse{"": st, wire.Session_ServiceDesc.ServiceName: st}}, nil
}
