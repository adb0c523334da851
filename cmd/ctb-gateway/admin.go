package main

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/confidential-token-broker/ctb/cmd/ctb-gateway/internal/metrics"
)

// admin answers scrapes and probes. Nothing there is secret, but it is not for strangers either.
func (s *service) admin() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.metrics.Handler())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		probe(w, true, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		r := s.readiness()
		probe(w, r.Status == ready, r)
	})
	return mux
}

func probe(w http.ResponseWriter, good bool, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if !good {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	json.NewEncoder(w).Encode(body) // an error here means that the client has gone
}

// readiness is the body of /readyz. Why something is as it is stands in the log alone.
type readiness struct {
	Status        string         `json:"status"` // ready, unready or stopping
	Configuration keyHealth      `json:"configuration"`
	Keys          []keyReadiness `json:"keys,omitempty"`
	Whitelist     *listReadiness `json:"whitelist,omitempty"`
	Certificate   keyHealth      `json:"certificate,omitempty"`
}

type keyReadiness struct {
	Issuer string    `json:"issuer"`
	Status keyHealth `json:"status"`
}

type listReadiness struct {
	Status keyHealth `json:"status"`
	Keys   int       `json:"keys"`
}

const (
	ready    = "ready"
	unready  = "unready"
	stopping = "stopping"
)

// readiness tells whether a request with a good credential could be answered. The upstream does not
// count: whether it answers is its own probe's to say. One issuer whose keys cannot be had
// costs only its own users; without any, nobody could pass.
func (s *service) readiness() readiness {
	now := s.state.Get()
	r := readiness{Status: ready, Configuration: fresh(s.state.Err())}
	for _, k := range now.issuers {
		r.Keys = append(r.Keys, keyReadiness{k.name, k.health()})
	}
	if now.whitelist != nil {
		r.Whitelist = &listReadiness{fresh(now.whitelist.Err()), now.whitelist.Get().Len()}
	}
	if now.certificate != nil {
		r.Certificate = fresh(now.certificate.Err())
	}
	usable := func(k keyReadiness) bool { return k.Status != unavailable }
	switch {
	case s.stopping.Load():
		r.Status = stopping
	case len(r.Keys) > 0 && r.Whitelist == nil && !slices.ContainsFunc(r.Keys, usable):
		r.Status = unready
	}
	return r
}

// fresh tells whether what was read last is what the files have now.
func fresh(err error) keyHealth {
	if err != nil {
		return stale
	}
	return healthy
}

// facts are what metrics ask for.
func (s *service) facts() metrics.State {
	now := s.state.Get()
	var m metrics.State
	for _, k := range now.issuers {
		up := k.health() == healthy
		if i := slices.IndexFunc(m.Keys, func(seen metrics.Keys) bool { return seen.Issuer == k.name }); i >= 0 {
			m.Keys[i].Up = m.Keys[i].Up && up // a series stands for one issuer, of whatever many keys
			continue
		}
		m.Keys = append(m.Keys, metrics.Keys{Issuer: k.name, Up: up})
	}
	if now.whitelist != nil {
		m.Whitelist, m.APIKeys = true, now.whitelist.Get().Len()
	}
	if now.certificate != nil {
		m.NotAfter = now.certificate.Get().Leaf.NotAfter
	}
	if now.config.Sessions != nil {
		counts := s.sessions.Counts()
		m.Sessions, m.SessionsWaiting, m.SessionsOpen = true, counts.Waiting, counts.Open
	}
	return m
}
