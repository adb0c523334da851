package gateway

import (
	"log/slog"
	"sync"
	"time"
)

// maxRefusals is how many lines a second strangers can write into the log.
const maxRefusals = 100

// ration bounds the lines that strangers cause, so that they cannot fill a disk
// or bury what matters. The zero value is a whole ration.
type ration struct {
	mu         sync.Mutex
	begin      time.Time // of the second that is counted
	lines      int       // in that second
	suppressed int       // since the last line that said so
}

// take tells whether one more line may be written. If not, a line in log will count it soon.
func (r *ration) take(log *slog.Logger) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now(); now.Sub(r.begin) >= time.Second {
		r.begin, r.lines = now, 0
	}
	if r.lines < maxRefusals {
		r.lines++
		return true
	}
	if r.suppressed == 0 {
		time.AfterFunc(time.Second, func() { r.report(log) })
	}
	r.suppressed++
	return false
}

func (r *ration) report(log *slog.Logger) {
	r.mu.Lock()
	n := r.suppressed
	r.suppressed = 0
	r.mu.Unlock()
	log.Warn("requests that were refused, or need no credential, are not logged one by one", "suppressed", n)
}
