package extauthz_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/codes"

	"github.com/confidential-token-broker/ctb/ctbtest"
	"github.com/confidential-token-broker/ctb/gateway"
	"github.com/confidential-token-broker/ctb/gateway/credential"
	"github.com/confidential-token-broker/ctb/gateway/limit"
)

// encodings are the two ways in which Envoy sends headers.
var encodings = map[string]func(method, path string, headers ...string) *authv3.AttributeContext_HttpRequest{"joined": http, "raw": raw}

// TestDecides: the request that Envoy describes is the one that is judged, in both encodings.
func TestDecides(t *testing.T) {
	r := newRig(t, nil)
	reader, admin := ctbtest.Claims{"scope": "read:reports"}, ctbtest.Claims{"org": map[string]any{"role": "admin"}}
	for _, tt := range []struct {
		name, method, path string
		headers            []string
		want               int
		code               codes.Code
	}{
		{"open", "GET", "/public/x", nil, 200, codes.OK},
		{"no token", "GET", "/reports/1", nil, 401, codes.Unauthenticated},
		{"not a token", "GET", "/reports/1", []string{"Authorization: Bearer abc"}, 401, codes.Unauthenticated},
		{"another scheme", "GET", "/reports/1", []string{"Authorization: Basic dTpw"}, 401, codes.Unauthenticated},
		{"expired", "GET", "/reports/1", []string{r.bearer(ctbtest.Claims{"exp": 1700000000})}, 401, codes.Unauthenticated},
		{"no scope", "GET", "/reports/1", []string{r.bearer(nil)}, 403, codes.PermissionDenied},
		{"scope", "GET", "/reports/1?q=a", []string{r.bearer(reader)}, 200, codes.OK},
		{"a GET's scope does not POST", "POST", "/reports/1", []string{r.bearer(reader)}, 403, codes.PermissionDenied},
		{"says it is a GET", "POST", "/reports/1", []string{r.bearer(reader), "X-Forwarded-Method: GET", "X-Original-Method: GET"}, 403, codes.PermissionDenied},
		{"says it is elsewhere", "GET", "/reports/1", []string{"X-Original-URI: /public/x", "X-Envoy-Original-Path: /public/x"}, 401, codes.Unauthenticated},
		{"admin", "POST", "/reports/1", []string{r.bearer(admin)}, 200, codes.OK},
		{"no route", "GET", "/elsewhere", []string{r.bearer(admin)}, 403, codes.PermissionDenied},
		{"encoded letters", "POST", "/%72eports/1", []string{r.bearer(reader)}, 403, codes.PermissionDenied},
		{"encoded slash", "GET", "/public%2f..%2freports/1", []string{r.bearer(admin)}, 400, codes.InvalidArgument},
		{"dot segments", "GET", "/public/../reports/1", []string{r.bearer(admin)}, 400, codes.InvalidArgument},
		{"two slashes", "GET", "//public/x", []string{r.bearer(admin)}, 400, codes.InvalidArgument},
		{"two tokens", "GET", "/reports/1", []string{r.bearer(reader), r.bearer(reader)}, 400, codes.Unauthenticated},
		{"a token and an empty one", "GET", "/reports/1", []string{r.bearer(reader), "Authorization: "}, 400, codes.Unauthenticated},
	} {
		for encoding, request := range encodings {
			t.Run(tt.name+", "+encoding, func(t *testing.T) {
				res := r.check(request(tt.method, tt.path, tt.headers...))
				if got, code := status(res), codes.Code(res.GetStatus().GetCode()); got != tt.want || code != tt.code {
					t.Errorf("got %d (%s), want %d (%s): %v", got, code, tt.want, tt.code, res)
				}
				challenge := sets(res.GetDeniedResponse().GetHeaders())["www-authenticate"]
				if tt.want == 401 && !strings.HasPrefix(challenge, "Bearer") {
					t.Errorf("got the challenge %q, want one that begins with Bearer (RFC 6750 section 3)", challenge)
				}
				if tt.want != 200 && res.GetDeniedResponse().GetBody() == "" {
					t.Error("the refusal has no body")
				}
			})
		}
	}
}

// TestAllowedHeaders: claims are set, in place of what the client said; what is
// not set is removed; and the token stays here.
func TestAllowedHeaders(t *testing.T) {
	r := newRig(t, nil)
	for encoding, request := range encodings {
		t.Run(encoding, func(t *testing.T) {
			res := r.check(request("GET", "/reports/1", r.bearer(ctbtest.Claims{"sub": "alice", "scope": "read:reports"}),
				"X-User: root", "X-Role: admin", "X-Role: owner", "Accept: */*"))
			ok := res.GetOkResponse()
			if got := sets(ok.GetHeaders()); got["x-user"] != "alice" || got["x-role"] != "" {
				t.Errorf("sets %v, want x-user alice, and no x-role", got)
			}
			for _, f := range ok.GetHeaders() {
				//lint:ignore SA1019 an Envoy that finds the deprecated field looks at nothing else
				if f.GetAppendAction() != corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD || f.GetAppend() != nil {
					t.Errorf("%v: is added to what the client said, want it to take its place", f)
				}
			}
			for _, name := range []string{"authorization", "x-role"} {
				if !slices.Contains(ok.GetHeadersToRemove(), name) {
					t.Errorf("removes %v, want %s too", ok.GetHeadersToRemove(), name)
				}
			}
			for _, name := range []string{"x-user", "accept"} { // Envoy removes after it has set
				if slices.Contains(ok.GetHeadersToRemove(), name) {
					t.Errorf("removes %v, want %s to stay", ok.GetHeadersToRemove(), name)
				}
			}
		})
	}
}

// TestClaimsThatEnvoyDoesNotShow: with allowed_headers Envoy tells of some headers alone. The client's own
// claim must not pass because nobody saw it, also where there is none of ours to take its place.
func TestClaimsThatEnvoyDoesNotShow(t *testing.T) {
	r := newRig(t, nil)
	for path, want := range map[string][]string{"/reports/1": {"x-role"}, "/public/x": {"x-role", "x-user"}} {
		ok := r.check(raw("GET", path, r.bearer(ctbtest.Claims{"sub": "alice", "scope": "read:reports"}))).GetOkResponse()
		for _, name := range want {
			if !slices.Contains(ok.GetHeadersToRemove(), name) {
				t.Errorf("%s: removes %v, want %s too", path, ok.GetHeadersToRemove(), name)
			}
		}
	}
}

// TestForwardToken: the token goes on where that is asked for.
func TestForwardToken(t *testing.T) {
	r := newRig(t, func(c *gateway.Config) { c.ForwardToken = true })
	res := r.check(raw("GET", "/reports/1", r.bearer(ctbtest.Claims{"scope": "read:reports"})))
	if status(res) != 200 || slices.Contains(res.GetOkResponse().GetHeadersToRemove(), "authorization") {
		t.Errorf("got %v, want it to leave authorization", res)
	}
}

// TestQueryToken: the token is taken out of the query, by the name that stands there.
func TestQueryToken(t *testing.T) {
	for _, forward := range []bool{false, true} {
		r := newRig(t, nil)
		issuer := r.issuer
		r = newRig(t, func(c *gateway.Config) {
			c.Credentials = tokensOf(t, issuer, credential.Place{Kind: credential.Query, Name: "access_token"})
			c.ForwardToken = forward
		})
		token := issuer.Token(ctbtest.Claims{"scope": "read:reports"})
		for query, want := range map[string]string{
			"a=b&access_token=" + token + "&c=d": "access_token",
			"access%5ftoken=" + token:            "access%5ftoken",
			"access_token=" + token:              "access_token",
		} {
			res := r.check(raw("GET", "/reports/1?"+query))
			if forward {
				want = ""
			}
			if got := strings.Join(res.GetOkResponse().GetQueryParametersToRemove(), " "); status(res) != 200 || got != want {
				t.Errorf("forward %v, %.20s…: got %d and removes %q, want 200 and %q", forward, query, status(res), got, want)
			}
		}
		res := r.check(raw("GET", "/reports/1?access_token="+token+"&access_token="+token))
		if status(res) == 200 {
			t.Error("two tokens in the query are accepted")
		}
	}
}

// TestLimits: requests a second are counted; of requests at the same time, those
// that are judged.
func TestLimits(t *testing.T) {
	limits, err := limit.New(limit.Config{PerSecond: 1e-6, Burst: 3, Concurrent: 1})
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, func(c *gateway.Config) { c.Limits = limits })
	token := r.bearer(ctbtest.Claims{"scope": "read:reports"})
	for i, want := range []int{200, 200, 200, 429} {
		res := r.check(raw("GET", "/reports/1", token))
		if status(res) != want {
			t.Errorf("request %d: got %d, want %d", i+1, status(res), want)
		}
		if want == 429 && (sets(res.GetDeniedResponse().GetHeaders())["retry-after"] == "" || codes.Code(res.GetStatus().GetCode()) != codes.ResourceExhausted) {
			t.Errorf("got %v, want a Retry-After and ResourceExhausted", res)
		}
	}
}

// TestNotaryProfile: the client gets the notary's own words.
func TestNotaryProfile(t *testing.T) {
	r := newRig(t, func(c *gateway.Config) { c.Profile = gateway.Notary })
	res := r.check(raw("GET", "/reports/1"))
	body, header := res.GetDeniedResponse().GetBody(), sets(res.GetDeniedResponse().GetHeaders())
	if status(res) != 401 || body != "Unauthorized request from prover: Missing JWT token" {
		t.Errorf("got %d %q, want the notary's 401", status(res), body)
	}
	if header["access-control-allow-origin"] != "*" || !strings.HasPrefix(header["content-type"], "text/plain") {
		t.Errorf("got %v, want text for any origin", slices.Sorted(maps.Keys(header)))
	}
}
