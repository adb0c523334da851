package main

import (
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
)

// TestLapsed: what is named is what keeps collateral from being valid, wherever it stands in the list.
func TestLapsed(t *testing.T) {
	day := func(d int) time.Time { return time.Date(2026, 3, d, 0, 0, 0, 0, time.UTC) }
	part := func(what string, from, to int) attest.Basis {
		return attest.Basis{What: what, Window: attest.Window{NotBefore: day(from), NotAfter: day(to)}}
	}
	basis := []attest.Basis{part("root CRL", 1, 20), part("TCB info", 3, 15), part("QE identity", 2, 18)}
	for _, tt := range []struct {
		name string
		at   time.Time
		want string
	}{
		{"all have ended", day(25), "TCB info: not valid after 2026-03-15T00:00:00Z, judged at 2026-03-25T00:00:00Z"},
		{"one has ended", day(16), "TCB info: not valid after 2026-03-15T00:00:00Z, judged at 2026-03-16T00:00:00Z"},
		{"its last instant", day(15), ""},
		{"one has not begun", day(2), "TCB info: not valid before 2026-03-03T00:00:00Z, judged at 2026-03-02T00:00:00Z"},
		{"all are valid", day(10), ""},
	} {
		if got := lapsed(basis, tt.at); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
	if got := lapsed(nil, day(1)); got != "" {
		t.Errorf("nothing: got %q", got)
	}
}

// TestServiceHint: only what looks like the name of a host is taken for one.
func TestServiceHint(t *testing.T) {
	for where, want := range map[string]string{
		"pccs.example.com":       "did you mean https://pccs.example.com/sgx/certification/v4/ ?",
		"pccs.example.com:8081/": "did you mean https://pccs.example.com:8081/sgx/certification/v4/ ?",
		"localhost:8081":         "did you mean https://localhost:8081/sgx/certification/v4/ ?",
		"absent.conf":            "", "./absent.d/x": "", "/etc/absent.d": "", "intell": "", "absent": "", "": "", ".": "", "a b.c": "",
	} {
		if got := serviceHint(where); got != want {
			t.Errorf("%q: got %q, want %q", where, got, want)
		}
	}
}
