package main

import (
	"strings"
	"testing"
)

// What wrk 4.1.0 prints.
const (
	wrkGood = `Running 5s test @ http://127.0.0.1:40123
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     4.02ms    1.16ms  22.56ms   82.12%
    Req/Sec     8.01k   412.39     8.93k    70.00%
  40123 requests in 5.03s, 6.20MB read
Requests/sec:   7971.58
Transfer/sec:      1.23MB
`
	wrkRefusing = `Running 1s test @ http://127.0.0.1:40123
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     4.02ms    1.16ms  22.56ms   82.12%
    Req/Sec     8.01k   412.39     8.93k    70.00%
  9000 requests in 1.10s, 2.20MB read
  Socket errors: connect 1, read 20, write 300, timeout 4000
  Non-2xx or 3xx responses: 8999
Requests/sec:   8181.82
Transfer/sec:      2.00MB
`
)

func TestParseWrk(t *testing.T) {
	for _, c := range []struct {
		name, out string
		want      load
	}{
		{"all answered", wrkGood, load{Requests: 40123, Rate: 7971.58}},
		{"refused and failed", wrkRefusing, load{Requests: 9000, Rate: 8181.82, Refused: 8999, SocketErrors: 4321}},
	} {
		if got, err := parseWrk(c.out); err != nil || got != c.want {
			t.Errorf("%s: got %+v, %v, want %+v", c.name, got, err, c.want)
		}
	}
}

func TestParseWrkMissesNoError(t *testing.T) {
	for name, out := range map[string]string{
		"nothing":               "",
		"no rate":               strings.Replace(wrkGood, "Requests/sec", "Requests/min", 1),
		"no number of requests": strings.Replace(wrkGood, "requests in", "answers in", 1),
		"too many requests":     strings.Replace(wrkGood, "40123 requests", "99999999999999999999 requests", 1),
		"a rate that is none":   strings.Replace(wrkGood, "7971.58", "7.971.58", 1),
		"another refusal line":  strings.Replace(wrkRefusing, "responses: 8999", "responses: many", 1),
		"another socket line":   strings.Replace(wrkRefusing, "write 300, ", "", 1),
	} {
		if got, err := parseWrk(out); err == nil {
			t.Errorf("%s: got %+v, want an error", name, got)
		}
	}
}

func TestLoadErrors(t *testing.T) {
	for _, c := range []struct {
		l    load
		want string // in the error; empty for none
	}{
		{load{Requests: 5, Rate: 5}, ""},
		{load{}, "no request was answered"},
		{load{Requests: 5, Refused: 2}, "2 of 5 requests were refused, 0 failed"},
		{load{Requests: 5, SocketErrors: 1}, "1 failed"},
	} {
		err := c.l.errors()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q", c.l, err, c.want)
		}
	}
}
