package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// State is what is so at the moment of a scrape.
type State struct {
	Keys      []Keys
	APIKeys   int       // in the whitelist
	Whitelist bool      // whether there is one
	NotAfter  time.Time // of the TLS certificate; zero: there is none

	Sessions        bool // whether sessions are kept
	SessionsWaiting int  // ids that wait to be used
	SessionsOpen    int  // connections
}

// Keys is how the keys of one issuer are.
type Keys struct {
	Issuer string // from the configuration
	Up     bool   // the newest attempt to get them went well
}

var (
	keysUp = prometheus.NewDesc("ctb_gateway_keys_up",
		"Whether the newest attempt to read or fetch the keys of an issuer went well; keys had before are used meanwhile.", []string{"issuer"}, nil)
	apiKeys = prometheus.NewDesc("ctb_gateway_whitelist_keys",
		"API keys in the whitelist that is in use.", nil, nil)
	notAfter = prometheus.NewDesc("ctb_gateway_tls_certificate_not_after_timestamp_seconds",
		"When the TLS certificate in use expires.", nil, nil)
	sessionsWaiting = prometheus.NewDesc("ctb_gateway_sessions_waiting",
		"Session ids that wait to be used.", nil, nil)
	sessionsOpen = prometheus.NewDesc("ctb_gateway_sessions_open",
		"Connections of sessions that are open.", nil, nil)
)

// Ask calls now at each scrape for what is not counted but so. Call it once.
func (m *Metrics) Ask(now func() State) { m.registry.MustRegister(asked(now)) }

// asked is a prometheus.Collector.
type asked func() State

// Describe implements prometheus.Collector.
func (a asked) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{keysUp, apiKeys, notAfter, sessionsWaiting, sessionsOpen} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (a asked) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	now := a()
	for _, k := range now.Keys {
		up := 0.0
		if k.Up {
			up = 1
		}
		gauge(keysUp, up, k.Issuer)
	}
	if now.Whitelist {
		gauge(apiKeys, float64(now.APIKeys))
	}
	if !now.NotAfter.IsZero() {
		gauge(notAfter, float64(now.NotAfter.Unix()))
	}
	if now.Sessions {
		gauge(sessionsWaiting, float64(now.SessionsWaiting))
		gauge(sessionsOpen, float64(now.SessionsOpen))
	}
}
