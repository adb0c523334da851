package devidp

import (
	"io"
	"net/http"
	"time"
)

// Break answers requests with h instead: those for the given endpoints (such
// as JWKSPath), or all if none is given. Repair undoes it.
func (p *Provider) Break(h http.Handler, paths ...string) {
	if len(paths) == 0 {
		paths = []string{""}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, path := range paths {
		p.broken[path] = h
	}
}

// Repair undoes every Break.
func (p *Provider) Repair() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.broken)
}

// Hits tells how many requests came for an endpoint, broken or not.
func (p *Provider) Hits(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hits[path]
}

// Down answers 503 and a page.
func Down() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "down for maintenance", http.StatusServiceUnavailable)
	})
}

// Gone closes the connection without an answer.
func Gone() http.Handler {
	return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
}

// Slow waits for d, or until the client gives up, and then answers 503.
func Slow(d time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(d):
		case <-r.Context().Done():
		}
		http.Error(w, "too late", http.StatusServiceUnavailable)
	})
}

// Huge answers 200 with a JSON document of about n bytes.
func Huge(n int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"keys":[],"padding":"`)
		io.CopyN(w, as{}, n) // an error here means that the client has gone, and rightly so
		io.WriteString(w, `"}`)
	})
}

// HTML answers 200 with a web page, as captive portals do.
func HTML() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, "<!doctype html><title>Welcome to the airport</title>")
	})
}

// EmptySet answers 200 with a key set that has no key.
func EmptySet() http.Handler { return JSON(`{"keys":[]}`) }

// JSON answers 200 with this body.
func JSON(body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, body)
	})
}

// as reads as the letter a, for ever.
type as struct{}

func (as) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}
