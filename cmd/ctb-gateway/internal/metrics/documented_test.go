package metrics_test

import (
	"maps"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/cmd/ctb-gateway/internal/metrics"
	"github.com/confidential-token-broker/ctb/gateway/access"
)

// TestDocumented: the documentation has every metric that there is, and no other.
func TestDocumented(t *testing.T) {
	m := metrics.New("v1")
	m.Loaded("keys")
	m.Decided("default", access.JWT, access.Allowed, "", time.Millisecond)
	m.Answered("default", 200, time.Millisecond)
	m.Ask(func() metrics.State {
		return metrics.State{Keys: []metrics.Keys{{Issuer: "i"}}, Whitelist: true, NotAfter: time.Now(), Sessions: true}
	})
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	text, err := os.ReadFile("../../../../docs/gateway-operations.md")
	if err != nil {
		t.Fatal(err)
	}
	names := func(pattern, text string) []string {
		found := map[string]bool{}
		for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			found[match[1]] = true
		}
		return slices.Sorted(maps.Keys(found))
	}
	got, want := names("(?m)^# TYPE (ctb_gateway_[a-z_]+) ", w.Body.String()), names("(?m)^\\| `(ctb_gateway_[a-z_]+)` ", string(text))
	if !slices.Equal(got, want) {
		t.Errorf("there are\n%q, documented are\n%q", got, want)
	}
}
