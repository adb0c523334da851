package broker

import (
	"sync"
	"sync/atomic"
	"time"
)

// The refusals of strangers that are recorded.
const (
	floodBurst = 1000 // at once
	floodRate  = 10   // a second, in the long run: some 250 MB a day
)

// flood bounds how much strangers can write into the audit. The zero value admits a burst.
type flood struct {
	mu   sync.Mutex
	used float64 // of the burst
	at   time.Time

	unrecorded atomic.Int64
}

// admits tells whether one more refusal is recorded, and counts it if not.
func (f *flood) admits(now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if passed := now.Sub(f.at); passed > 0 { // not when the clock was set back
		f.used = max(0, f.used-floodRate*passed.Seconds())
	}
	f.at = now
	if f.used > floodBurst-1 {
		f.unrecorded.Add(1)
		return false
	}
	f.used++
	return true
}

// take returns how many were not recorded, and counts anew.
func (f *flood) take() int64 {
	if f.unrecorded.Load() == 0 {
		return 0
	}
	return f.unrecorded.Swap(0)
}

// putBack undoes a take that was not recorded.
func (f *flood) putBack(n int64) { f.unrecorded.Add(n) }
