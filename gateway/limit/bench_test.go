package limit

import (
	"fmt"
	"runtime"
	"testing"
)

func BenchmarkTake(b *testing.B) {
	ids := make([]string, 1024)
	for i := range ids {
		ids[i] = fmt.Sprintf("%064d", i)
	}
	for _, bench := range []struct {
		name string
		c    Config
	}{
		{"nothing", Config{}},
		{"rate", Config{PerSecond: 1e9}},
		{"rate+concurrent", Config{PerSecond: 1e9, Concurrent: 1000}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			l := newLimits(b, bench.c)
			b.ReportAllocs()
			b.RunParallel(func(p *testing.PB) {
				for i := 0; p.Next(); i++ {
					done, err := l.Take(ids[i%len(ids)])
					if err != nil {
						b.Error(err)
						return
					}
					done()
				}
			})
		})
	}
}

// BenchmarkIdentity measures what an identity costs that is remembered.
func BenchmarkIdentity(b *testing.B) {
	const n = 100_000
	var before, after runtime.MemStats
	for b.Loop() {
		l := newLimits(b, Config{PerSecond: 0.001, Burst: 1, Identities: 2 * n})
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range n {
			if _, err := l.Take(fmt.Sprintf("%064d", i)); err != nil {
				b.Fatal(err)
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(l.size()), "B/identity")
		runtime.KeepAlive(l)
	}
}
