package session

import (
	"fmt"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb/gateway/access"
)

// BenchmarkSession is the life of a session, but for its connection, among others that wait.
func BenchmarkSession(b *testing.B) {
	for _, waiting := range []int{0, 9_000} {
		b.Run(fmt.Sprint("waiting=", waiting), func(b *testing.B) {
			s := newSessions(b, Config{Issue: true})
			for range waiting {
				issue(b, s, person("bob"))
			}
			alice := person("alice")
			b.ReportAllocs()
			for b.Loop() {
				w := httptest.NewRecorder()
				if err := s.Create(w, post(tcp), alice, nil); err != nil {
					b.Fatal(err)
				}
				session := begin(b, s, w.Body.String()[14:50])
				session.Upgraded()
				session.End()
			}
		})
	}
}

// BenchmarkIsUse is what sessions cost a request that is none of theirs.
func BenchmarkIsUse(b *testing.B) {
	s := newSessions(b, Config{})
	r := httptest.NewRequest("POST", "/reports", nil)
	for b.Loop() {
		if s.IsCreate(r) || s.IsUse(r) {
			b.Fatal("not a session's")
		}
	}
}

// BenchmarkMemory measures what a session costs that waits: alone, and with a token of 600 bytes that nobody else has.
func BenchmarkMemory(b *testing.B) {
	claims := `,"filler":"` + strings.Repeat("x", 550) + `"`
	for name, who := range map[string]func(i int) *access.Identity{
		"alone":      func(int) *access.Identity { return nil },
		"with token": func(int) *access.Identity { return bearer(b, claims) },
	} {
		b.Run(name, func(b *testing.B) {
			const n = 10_000
			var before, after runtime.MemStats
			for b.Loop() {
				s := newSessions(b, Config{Issue: true})
				runtime.GC()
				runtime.ReadMemStats(&before)
				for i := range n {
					if err := s.Create(httptest.NewRecorder(), post(tcp), who(i), nil); err != nil {
						b.Fatal(err)
					}
				}
				runtime.GC()
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/session")
				runtime.KeepAlive(s)
			}
		})
	}
}
