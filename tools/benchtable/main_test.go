package main

import (
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	const output = `goos: linux
pkg: example.com/m/broker
BenchmarkExchange/ES256/ours-2  100  125000 ns/op  900 B/op  12 allocs/op
BenchmarkExchange/ES256/bare-2  100  100000 ns/op  800 B/op  10 allocs/op
BenchmarkExchange/ES256/ours-2  100  999000 ns/op  900 B/op  12 allocs/op
BenchmarkExchange/ES256/bare-2  100  100000 ns/op  800 B/op  10 allocs/op
BenchmarkExchange/ES256/ours-2  100  110000 ns/op  900 B/op  12 allocs/op
BenchmarkExchange/ES256/bare-2  100  100000 ns/op  800 B/op  10 allocs/op
PASS
pkg: example.com/m/gateway
BenchmarkGateway/bare-2  100  90000 ns/op
BenchmarkGateway/jwt-2  100  100000 ns/op
BenchmarkGateway/jwt-logged-2  100  180000 ns/op
PASS
pkg: example.com/m
BenchmarkCached  1000000  640.5 ns/op  0 B/op  0 allocs/op
PASS
`
	results, failed, err := read(strings.NewReader(output))
	if err != nil || failed {
		t.Fatalf("got failed %v, error %v", failed, err)
	}
	var table strings.Builder
	print(&table, results)
	var got []string
	for line := range strings.Lines(table.String()) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	want := []string{
		"path ours bare ratio allocs",
		"broker Exchange/ES256 125µs 100µs 0.80 12", // the median of three runs
		"gateway Gateway/jwt 100µs 90µs 0.90",
		"gateway Gateway/jwt-logged 180µs 90µs 0.50",
		"m Cached 640ns 0",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestFailedPackage(t *testing.T) {
	_, failed, err := read(strings.NewReader("pkg: p\n--- FAIL: BenchmarkX\nFAIL\n"))
	if err != nil || !failed {
		t.Errorf("got failed %v, error %v, want a failure", failed, err)
	}
}
