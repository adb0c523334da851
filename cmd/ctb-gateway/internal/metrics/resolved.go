package metrics

import (
	"sync"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/gateway/access"
	"github.com/prometheus/client_golang/prometheus"
)

// decision and answer are the labels of what every request counts.
type (
	decision struct {
		route  string
		mode   access.Mode
		reason access.Reason
		fault  ctb.Fault
	}
	answer struct{ route, code string }
)

// series are the two that a decision or an answer counts in.
type series struct {
	count prometheus.Counter
	took  prometheus.Observer
}

// resolved remembers the series of labels: one look in place of two
// WithLabelValues, which hash and compare each label. As many as there are series, which the labels bound.
type resolved[Labels comparable] struct {
	mu  sync.RWMutex
	all map[Labels]series
}

func (r *resolved[Labels]) get(l Labels) (series, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	s, ok := r.all[l]
	return s, ok
}

func (r *resolved[Labels]) put(l Labels, s series) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == nil {
		r.all = map[Labels]series{}
	}
	r.all[l] = s
}

// forget comes when series end: what is counted in them from then on, nobody would see.
func (r *resolved[Labels]) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.all)
}
