package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/sscc"
)

// metrics is what a monitoring system reads. No label holds an id: operations
// and codes are fixed lists.
type metrics struct {
	registry *prometheus.Registry
	ops      *prometheus.CounterVec
	took     *prometheus.HistogramVec
	backend  *prometheus.CounterVec
	calls    *prometheus.CounterVec
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		ops: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keposs_operations_total", Help: "Finished operations of SS-CC by name and result (ok or a code of docs/cli.md).",
		}, []string{"op", "code"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "keposs_operation_seconds", Help: "Time an operation of SS-CC took, the database included.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16),
		}, []string{"op"}),
		backend: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keposs_backend_events_total", Help: "Starts and ends of the backend's process.",
		}, []string{"what"}),
	}
	m.calls = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "keposs_calls_total", Help: "Finished calls from outside by service and result, refusals before any operation included.",
	}, []string{"service", "code"})
	m.registry.MustRegister(m.ops, m.took, m.backend, m.calls,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// watch adds the gauges that ask SS-CC itself.
func (m *metrics) watch(s *sscc.Server) {
	for _, st := range sscc.States() {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "keposs_state", Help: "1 for the state SS-CC is in.", ConstLabels: prometheus.Labels{"state": string(st)},
		}, func() float64 {
			if s.State() == st || s.Officer() == st {
				return 1
			}
			return 0
		}))
	}
}

// observe counts an operation and logs it at debug; what an operator must see
// to, at warn. Neither holds an id.
func (m *metrics) observe(log *slog.Logger) func(op string, code core.Code, took time.Duration) {
	return func(op string, code core.Code, took time.Duration) {
		level, text := slog.LevelDebug, "ok"
		if code != core.Unknown {
			text = code.String()
		}
		switch code {
		case core.Internal, core.Corrupt, core.Integrity, core.Exhausted, core.Unavailable, core.Indeterminate, core.Fenced:
			level = slog.LevelWarn
		}
		m.ops.WithLabelValues(op, text).Inc()
		m.took.WithLabelValues(op).Observe(took.Seconds())
		log.Log(context.Background(), level, "operation", "op", op, "code", text, "ms", float64(took.Microseconds())/1000)
	}
}

// call counts one call by its service; a method no service has is "other".
func (m *metrics) call(method string, code core.Code, _ time.Duration) {
	service, text := "other", "ok"
	for _, known := range []string{"Session", "Enrolment", "Info", "Admin"} {
		if strings.HasPrefix(method, "/keposs.sscc.v1."+known+"/") {
			service = strings.ToLower(known)
		}
	}
	if code != core.Unknown {
		text = code.String()
	}
	m.calls.WithLabelValues(service, text).Inc()
}

// healthTimeout bounds the question whether the database answers.
const healthTimeout = 5 * time.Second

// handler serves /metrics, /livez (the process is there) and /readyz (terminals
// are served now: unsealed, and the database answers).
func (m *metrics) handler(s *sscc.Server) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), healthTimeout)
		defer cancel()
		if err := s.Health(ctx); err != nil {
			http.Error(w, fmt.Sprintf("not ready: %s (%s)", s.State(), core.CodeOf(err)), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	return mux
}

// serve answers at addr until the returned function is called.
func (m *metrics) serve(ctx context.Context, addr string, s *sscc.Server, log *slog.Logger) (stop func(), err error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, core.Errorf(core.Environment, "ss-cc serve", "listen for metrics on %s: %w", addr, err)
	}
	h := &http.Server{Handler: m.handler(s), ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := h.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Warn("metrics ended", "error", err.Error())
		}
	}()
	log.Info("metrics", "address", l.Addr().String())
	return func() {
		_ = h.Close()
		<-ended
	}, nil
}
