package metrics_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/cmd/ctb-gateway/internal/metrics"
	"github.com/confidential-token-broker/ctb/gateway/access"
)

// scrape returns the lines that begin with ctb_gateway_.
func scrape(t *testing.T, m *metrics.Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("got %d: %s", w.Code, w.Body)
	}
	var ours strings.Builder
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, "ctb_gateway_") {
			ours.WriteString(line)
		}
	}
	return ours.String()
}

// want checks that each line is there.
func want(t *testing.T, got string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains("\n"+got, "\n"+line+"\n") {
			t.Errorf("want the line %s, got\n%s", line, got)
		}
	}
}

func TestDecisions(t *testing.T) {
	m := metrics.New("v1")
	m.Routes([]string{"none", "admin"})
	m.Decided("admin", access.JWT, access.InvalidToken, ctb.Expired, 30*time.Microsecond)
	m.Decided("admin", access.JWT, access.Allowed, "", 2*time.Second)
	m.Decided("none", access.None, access.NoRoute, "", time.Microsecond)
	want(t, scrape(t, m),
		`ctb_gateway_decisions_total{fault="expired",mode="jwt",reason="invalid_token",route="admin"} 1`,
		`ctb_gateway_decisions_total{fault="",mode="jwt",reason="allowed",route="admin"} 1`,
		`ctb_gateway_decisions_total{fault="",mode="none",reason="no_route",route="none"} 1`,
		`ctb_gateway_decision_duration_seconds_bucket{mode="jwt",le="5e-05"} 1`,
		`ctb_gateway_decision_duration_seconds_bucket{mode="jwt",le="5"} 2`,
		`ctb_gateway_decision_duration_seconds_count{mode="none"} 1`)
}

// TestAnswers: an upgraded connection counts as a request, and not as a slow answer.
func TestAnswers(t *testing.T) {
	m := metrics.New("v1")
	m.Routes([]string{"*"})
	m.Tunnel(true)
	m.Tunnel(true)
	m.Tunnel(false)
	m.Answered("*", 101, time.Hour)
	m.Answered("*", 200, 30*time.Millisecond)
	got := scrape(t, m)
	want(t, got,
		`ctb_gateway_tunnels_open 1`,
		`ctb_gateway_requests_total{code="101",route="*"} 1`,
		`ctb_gateway_requests_total{code="200",route="*"} 1`,
		`ctb_gateway_request_duration_seconds_count{route="*"} 1`)
}

// TestLabelsAreBounded: neither an upstream's statuses nor routes that came and went make series without end.
func TestLabelsAreBounded(t *testing.T) {
	m := metrics.New("v1")
	for i := -5; i < 2000; i++ {
		m.Answered(fmt.Sprintf("route-%d", i), i, time.Millisecond)
	}
	got := scrape(t, m)
	want(t, got,
		`ctb_gateway_requests_total{code="404",route="other"} 1`,
		`ctb_gateway_requests_total{code="499",route="other"} 1`,
		`ctb_gateway_requests_total{code="other",route="other"} 1505`)
	if n := strings.Count(got, "ctb_gateway_requests_total{"); n > 75 {
		t.Errorf("%d series, want at most those of the statuses that have a name, of the five classes and of the rest", n)
	}

	for i := range 100 {
		name := fmt.Sprintf("route-%d", i)
		m.Routes([]string{name})
		m.Answered(name, 200, time.Millisecond)
		m.Decided(name, access.JWT, access.Allowed, "", time.Millisecond)
	}
	got = scrape(t, m)
	for _, name := range []string{"requests_total", "decisions_total", "request_duration_seconds_count"} {
		if n := strings.Count(got, "ctb_gateway_"+name+"{"+`code="200",route="route-`) +
			strings.Count(got, `ctb_gateway_`+name+`{fault="",mode="jwt",reason="allowed",route="route-`) +
			strings.Count(got, `ctb_gateway_`+name+`{route="route-`); n != 1 {
			t.Errorf("%s: %d series of routes by name, want the last one's alone", name, n)
		}
	}
}

// TestARouteThatCameBack: its series begin anew, and count.
func TestARouteThatCameBack(t *testing.T) {
	m := metrics.New("v1")
	for _, routes := range [][]string{{"a"}, {"b"}, {"a", "b"}} {
		m.Routes(routes)
		m.Decided("a", access.JWT, access.Allowed, "", time.Microsecond)
		m.Answered("a", 200, time.Millisecond)
	}
	want(t, scrape(t, m),
		`ctb_gateway_decisions_total{fault="",mode="jwt",reason="allowed",route="a"} 1`,
		`ctb_gateway_decisions_total{fault="",mode="jwt",reason="allowed",route="other"} 1`,
		`ctb_gateway_requests_total{code="200",route="a"} 1`,
		`ctb_gateway_request_duration_seconds_count{route="a"} 1`)
}

func TestReloads(t *testing.T) {
	m := metrics.New("v1")
	m.Loaded("whitelist")
	got := scrape(t, m)
	want(t, got,
		`ctb_gateway_reloads_total{result="failure",what="whitelist"} 0`,
		`ctb_gateway_reloads_total{result="success",what="whitelist"} 0`)
	m.Reloaded("whitelist", fmt.Errorf("line 3"))
	m.Reloaded("whitelist", nil)
	m.Reloaded("whitelist", nil)
	got = scrape(t, m)
	want(t, got,
		`ctb_gateway_reloads_total{result="failure",what="whitelist"} 1`,
		`ctb_gateway_reloads_total{result="success",what="whitelist"} 2`)
	if !strings.Contains(got, `ctb_gateway_reload_last_success_timestamp_seconds{what="whitelist"} 1.`) &&
		!strings.Contains(got, `ctb_gateway_reload_last_success_timestamp_seconds{what="whitelist"} 2.`) {
		t.Errorf("no instant of the last success:\n%s", got)
	}
}

func TestState(t *testing.T) {
	m := metrics.New("v1")
	var now metrics.State
	m.Ask(func() metrics.State { return now })
	if got := scrape(t, m); strings.Contains(got, "whitelist_keys") || strings.Contains(got, "sessions") || strings.Contains(got, "not_after") {
		t.Errorf("there is what nobody has configured:\n%s", got)
	}
	now = metrics.State{
		Keys:      []metrics.Keys{{Issuer: "https://a.example", Up: true}, {Issuer: "https://b.example"}},
		Whitelist: true, APIKeys: 0,
		NotAfter: time.Unix(2000, 0),
		Sessions: true, SessionsWaiting: 3, SessionsOpen: 2,
	}
	want(t, scrape(t, m),
		`ctb_gateway_keys_up{issuer="https://a.example"} 1`,
		`ctb_gateway_keys_up{issuer="https://b.example"} 0`,
		`ctb_gateway_whitelist_keys 0`,
		`ctb_gateway_tls_certificate_not_after_timestamp_seconds 2000`,
		`ctb_gateway_sessions_waiting 3`,
		`ctb_gateway_sessions_open 2`)
}

// TestObserverDoesNotAllocate: what every request pays is time alone.
func TestObserverDoesNotAllocate(t *testing.T) {
	m := metrics.New("v1")
	m.Routes([]string{"reports"})
	observe := func() {
		m.Decided("reports", access.JWT, access.Allowed, "", 20*time.Microsecond)
		m.Answered("reports", 200, time.Millisecond)
		m.Tunnel(true)
	}
	observe() // makes the series
	if n := testing.AllocsPerRun(100, observe); n > 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// BenchmarkObserver is what metrics add to a request.
func BenchmarkObserver(b *testing.B) {
	m := metrics.New("v1")
	m.Routes([]string{"first", "second", "reports"})
	b.ReportAllocs()
	for b.Loop() {
		m.Decided("reports", access.JWT, access.Allowed, "", 20*time.Microsecond)
		m.Answered("reports", 200, time.Millisecond)
	}
}
