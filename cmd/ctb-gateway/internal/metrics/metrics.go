// Package metrics counts what the gateway does, for Prometheus.
//
// It owns the names, the labels and their bounds: a label takes its values from the
// configuration or from the program, never from a request. It does not know how
// things are decided; it is told ([Metrics] is a gateway.Observer), or asks when it is scraped ([State]).
package metrics

import (
	"net/http"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/gateway/access"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// otherRoute is the value of the label route for those of a configuration that is gone.
const otherRoute = "other"

// Buckets in seconds. A decision takes microseconds, or a fetch of keys; an answer what the upstream takes.
var (
	decisionBuckets = []float64{10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 10e-3, 50e-3, 0.25, 1, 5, 20}
	answerBuckets   = []float64{1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60}
)

// Metrics are the metrics of one process. They live on when the gateway is configured anew.
type Metrics struct {
	registry *prometheus.Registry
	routes   atomic.Pointer[[]string] // the names that the configuration gives

	decisions     *prometheus.CounterVec
	decisionTime  *prometheus.HistogramVec
	requests      *prometheus.CounterVec
	answerTime    *prometheus.HistogramVec
	tunnels       prometheus.Gauge
	reloads       *prometheus.CounterVec
	reloadSuccess *prometheus.GaugeVec

	decided  resolved[decision]
	answered resolved[answer]
}

// New returns metrics with a registry of their own, which has those of the Go runtime and of the process too.
func New(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ctb_gateway_decisions_total",
			Help: "Decisions whether a request may pass, by route, kind of credential, reason, and for invalid tokens what is wrong with them.",
		}, []string{"route", "mode", "reason", "fault"}),
		decisionTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ctb_gateway_decision_duration_seconds", Buckets: decisionBuckets,
			Help: "Time that a decision took, with any fetch of keys that it waited for, by kind of credential.",
		}, []string{"mode"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ctb_gateway_requests_total",
			Help: "Requests that were answered, by route and status code.",
		}, []string{"route", "code"}),
		answerTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ctb_gateway_request_duration_seconds", Buckets: answerBuckets,
			Help: "Time from a request's header to its answer's end, by route; without upgraded connections.",
		}, []string{"route"}),
		tunnels: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "ctb_gateway_tunnels_open",
			Help: "Upgraded connections that are open.",
		}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ctb_gateway_reloads_total",
			Help: "Attempts to read a changed file again, by what was read and by result.",
		}, []string{"what", "result"}),
		reloadSuccess: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "ctb_gateway_reload_last_success_timestamp_seconds",
			Help: "When it was last read well, at the start or again.",
		}, []string{"what"}),
	}
	m.routes.Store(new([]string))
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "ctb_gateway_build_info", Help: "Always 1; the labels say which build runs.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()},
	})
	build.Set(1)
	m.registry.MustRegister(m.decisions, m.decisionTime, m.requests, m.answerTime, m.tunnels, m.reloads, m.reloadSuccess, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler answers a scrape. At most four are answered at once, each within ten seconds.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
}

// Routes says which names of routes there are from now on. The series of others
// end, so that their number is bounded however often the configuration changes.
func (m *Metrics) Routes(names []string) {
	names = slices.Clone(names)
	before := *m.routes.Swap(&names)
	for _, gone := range before {
		if slices.Contains(names, gone) {
			continue
		}
		labels := prometheus.Labels{"route": gone}
		m.decisions.DeletePartialMatch(labels)
		m.requests.DeletePartialMatch(labels)
		m.answerTime.DeletePartialMatch(labels)
	}
	m.decided.forget()
	m.answered.forget()
}

// known bounds the label route.
func (m *Metrics) known(route string) string {
	if slices.Contains(*m.routes.Load(), route) {
		return route
	}
	return otherRoute
}

// Decided implements gateway.Observer.
func (m *Metrics) Decided(route string, mode access.Mode, reason access.Reason, fault ctb.Fault, took time.Duration) {
	labels := decision{m.known(route), mode, reason, fault}
	s, ok := m.decided.get(labels)
	if !ok {
		s.count = m.decisions.WithLabelValues(labels.route, string(mode), string(reason), string(fault))
		s.took = m.decisionTime.WithLabelValues(string(mode))
		m.decided.put(labels, s)
	}
	s.count.Inc()
	s.took.Observe(took.Seconds())
}

// Answered implements gateway.Observer.
func (m *Metrics) Answered(route string, status int, took time.Duration) {
	labels := answer{m.known(route), code(status)}
	s, ok := m.answered.get(labels)
	if !ok {
		s.count = m.requests.WithLabelValues(labels.route, labels.code)
		s.took = m.answerTime.WithLabelValues(labels.route)
		m.answered.put(labels, s)
	}
	s.count.Inc()
	if status != http.StatusSwitchingProtocols { // hours, which would say nothing about answers
		s.took.Observe(took.Seconds())
	}
}

// Tunnel implements gateway.Observer.
func (m *Metrics) Tunnel(open bool) {
	if open {
		m.tunnels.Inc()
	} else {
		m.tunnels.Dec()
	}
}

// Loaded notes that something was read for the first time: its counters begin at 0.
func (m *Metrics) Loaded(what string) {
	m.reloads.WithLabelValues(what, "success")
	m.reloads.WithLabelValues(what, "failure")
	m.reloadSuccess.WithLabelValues(what).SetToCurrentTime()
}

// Reloaded counts an attempt to read something again. The values of what are the program's.
func (m *Metrics) Reloaded(what string, err error) {
	if err != nil {
		m.reloads.WithLabelValues(what, "failure").Inc()
		return
	}
	m.reloads.WithLabelValues(what, "success").Inc()
	m.reloadSuccess.WithLabelValues(what).SetToCurrentTime()
}
