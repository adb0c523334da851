package gateway_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb/ctbtest"
	"github.com/confidential-token-broker/ctb/gateway"
	"github.com/confidential-token-broker/ctb/gateway/access"
	"github.com/confidential-token-broker/ctb/gateway/credential"
)

// TestClaimHeaders: each kind of claim, as the upstream gets it.
func TestClaimHeaders(t *testing.T) {
	iss := ctbtest.NewIssuer(t)
	g := decider(t, iss, func(c *gateway.Config) {
		c.ClaimHeaders = []gateway.ClaimHeader{
			{Header: "X-Claim", Claim: []string{"c"}},
			{Header: "X-Deep", Claim: []string{"https://x.com/org", "role"}},
			{Header: "X-Client", Name: true},
		}
	})
	for _, tt := range []struct {
		what string
		c    any
		want string // "-": no header
	}{
		{"a string", "alice", "alice"},
		{"with spaces and a comma inside", "Doe, John", "Doe, John"},
		{"empty", "", ""},
		{"with spaces around", " a ", "%20a%20"},
		{"a percent sign", "100%41", "100%2541"},
		{"not ASCII", "Jürgen", "J%C3%BCrgen"},
		{"an end of line", "x\r\nX-Role: admin", "x%0D%0AX-Role: admin"},
		{"a NUL and a tab", "a\x00\tb", "a%00%09b"},
		{"a number", 42, "42"},
		{"a large number", 18446744073709551615.0, "18446744073709552000"},
		{"a bool", true, "true"},
		{"an array", []any{"a", 1, true}, "a,1,true"},
		{"commas in an array", []any{"a,b", "c"}, "a%2Cb,c"},
		{"an empty array", []any{}, "-"},
		{"an array of arrays", []any{[]any{"a"}}, `[["a"]]`},
		{"an object", map[string]any{"a": "x\ny"}, `{"a":"x\ny"}`},
		{"an object, not ASCII", map[string]any{"ü": 1}, `{"%C3%BC":1}`},
		{"none", nil, "-"},
	} {
		d, refusal := g.Decide(iss.Request("GET", "/", ctbtest.Claims{"c": tt.c, "https://x.com/org": map[string]any{"role": "r"}}))
		if refusal != nil {
			t.Fatal(refusal)
		}
		h := d.Headers()
		d.Done()
		got := "-"
		if values, ok := h["X-Claim"]; ok {
			got = strings.Join(values, "|")
		}
		if got != tt.want || h.Get("X-Deep") != "r" || h["X-Client"] != nil {
			t.Errorf("%s: got %q and %v, want %q", tt.what, got, h, tt.want)
		}
	}
	d, _ := g.Decide(keyed("GET", "/", "key-of-ops"))
	defer d.Done()
	if h := d.Headers(); h.Get("X-Client") != "ops" || len(h) != 1 {
		t.Errorf("API key: got %v, want its name alone", h)
	}
}

// TestClaimHeadersAreOurs: nothing that a client sends under the name of such a
// header reaches the upstream, also where there is no claim to say, and also on open routes.
func TestClaimHeadersAreOurs(t *testing.T) {
	g := newRig(t, setup{change: func(c *gateway.Config) {
		c.ClaimHeaders = []gateway.ClaimHeader{{Header: "X-Role", Claim: []string{"role"}}, {Header: "X-User-Name", Claim: []string{"sub"}}}
		c.Routes = []gateway.Route{{Path: "/open", Open: true}, {Path: "/*"}}
	}})
	forged := "X-Role: admin\r\nx_role: admin\r\nX.ROLE: admin\r\nX-Role: root\r\nX_User-Name: root\r\nx-user.name: root\r\nX-USER-NAME: root\r\nX-Rol: kept\r\n"
	for path, want := range map[string]string{
		"/open":  "[kept] [] []",
		"/none":  "[kept] [] [alice]",
		"/owner": "[kept] [owner] [alice]",
	} {
		claims := ctbtest.Claims{"sub": "alice"}
		if path == "/owner" {
			claims["role"] = "owner"
		}
		res, _ := g.raw("GET " + path + " HTTP/1.1\r\nHost: gw\r\nConnection: close, X-Role, X-User-Name\r\nAuthorization: Bearer " + g.issuer.Token(claims) + "\r\n" + forged + "\r\n")
		if res.StatusCode != 200 {
			t.Fatalf("%s: got %d", path, res.StatusCode)
		}
		h := g.reached()[0].Header
		if got := fmt.Sprint(h["X-Rol"], h["X-Role"], h["X-User-Name"]); got != want {
			t.Errorf("%s: the upstream got %s, want %s", path, got, want)
		}
		for name := range h {
			if strings.ContainsAny(name, "_.") {
				t.Errorf("%s: the upstream got %s", path, name)
			}
		}
	}
}

// TestTrailersCarryNothing: what a client sends behind its body is not taken for a header.
func TestTrailersCarryNothing(t *testing.T) {
	g := newRig(t, setup{
		upstream: func(w http.ResponseWriter, r *http.Request) {
			_, _ = r.Body.Read(make([]byte, 10))
			_, _ = r.Body.Read(make([]byte, 10))
			fmt.Fprint(w, r.Trailer)
		},
		change: func(c *gateway.Config) {
			c.ClaimHeaders = []gateway.ClaimHeader{{Header: "X-Role", Claim: []string{"role"}}}
		},
	})
	res, body := g.raw("POST / HTTP/1.1\r\nHost: gw\r\nTE: trailers\r\nTrailer: X-Role\r\nTransfer-Encoding: chunked\r\nAuthorization: Bearer " + g.issuer.Token(nil) + "\r\n\r\n1\r\na\r\n0\r\nX-Role: admin\r\n\r\n")
	if res.StatusCode != 200 || body != "map[]" {
		t.Errorf("got %d %s, want no trailers", res.StatusCode, body)
	}
}

// TestChanges: who forwards a request himself is told the same.
func TestChanges(t *testing.T) {
	iss := ctbtest.NewIssuer(t)
	g := decider(t, iss, func(c *gateway.Config) {
		authenticator, err := credential.NewTokens([]credential.Issuer{{Verifier: iss.Verifier()}},
			credential.Place{Kind: credential.Authorization}, credential.Place{Kind: credential.Cookie, Name: "token"}, credential.Place{Kind: credential.Query, Name: "access_token"})
		if err != nil {
			t.Fatal(err)
		}
		c.Credentials = authenticator
		c.ClaimHeaders = []gateway.ClaimHeader{{Header: "X-User", Claim: []string{"sub"}}, {Header: "X-Role", Claim: []string{"role"}}}
	})
	r := iss.Request("GET", "/?a=1&access_token=&b=2", ctbtest.Claims{"sub": "alice"})
	r.Header["Cookie"] = []string{"a=1; token=; b=2"}
	r.Header["X_user"] = []string{"root"}
	r.Header["X-Role"] = []string{"root"}
	r.Header["Accept"] = []string{"*/*"}
	r.Header["X-Forwarded-For"] = []string{"10.0.0.1"}
	d, refusal := g.Decide(r)
	defer d.Done()
	if refusal != nil {
		t.Fatal(refusal)
	}
	set, remove, query := d.Changes(r)
	if set.Get("X-User") != "alice" || strings.Contains(set.Get("Cookie"), "token") || set.Get("Cookie") == "" || len(set) != 2 {
		t.Errorf("set: got %v", set)
	}
	if want := []string{"Authorization", "X-Role", "X_user"}; !slices.Equal(remove, want) {
		t.Errorf("remove: got %q, want %q", remove, want)
	}
	if values, err := url.ParseQuery(query); err != nil || values.Has("access_token") || values.Get("b") != "2" {
		t.Errorf("query: got %q", query)
	}
	if r.Header.Get("Authorization") == "" || r.Header.Get("X-Role") != "root" {
		t.Error("the request itself was changed")
	}
}

func TestClaimHeadersAreChecked(t *testing.T) {
	sub := []string{"sub"}
	for _, tt := range []struct {
		what string
		list []gateway.ClaimHeader
		good bool
	}{
		{"a claim", []gateway.ClaimHeader{{Header: "X-User", Claim: sub}}, true},
		{"a name", []gateway.ClaimHeader{{Header: "x_client", Name: true}}, true},
		{"of those that are stripped anyway", []gateway.ClaimHeader{{Header: "X-Forwarded-User", Claim: sub}}, true},
		{"no header", []gateway.ClaimHeader{{Claim: sub}}, false},
		{"no name of a header", []gateway.ClaimHeader{{Header: "X User", Claim: sub}}, false},
		{"too long", []gateway.ClaimHeader{{Header: strings.Repeat("x", 65), Claim: sub}}, false},
		{"neither", []gateway.ClaimHeader{{Header: "X-User"}}, false},
		{"both", []gateway.ClaimHeader{{Header: "X-User", Claim: sub, Name: true}}, false},
		{"an empty step", []gateway.ClaimHeader{{Header: "X-User", Claim: []string{"a", ""}}}, false},
		{"Host", []gateway.ClaimHeader{{Header: "host", Claim: sub}}, false},
		{"Transfer-Encoding", []gateway.ClaimHeader{{Header: "Transfer_Encoding", Claim: sub}}, false},
		{"Authorization", []gateway.ClaimHeader{{Header: "Authorization", Claim: sub}}, false},
		{"X-Forwarded-For", []gateway.ClaimHeader{{Header: "X-Forwarded-For", Claim: sub}}, false},
		{"X-Request-Id", []gateway.ClaimHeader{{Header: "X-Request-Id", Claim: sub}}, false},
		{"twice", []gateway.ClaimHeader{{Header: "X-User", Claim: sub}, {Header: "x_user", Claim: sub}}, false},
	} {
		_, err := gateway.New(gateway.Config{Credentials: nobody{}, ClaimHeaders: tt.list})
		if (err == nil) != tt.good {
			t.Errorf("%s: got %v, want good %v", tt.what, err, tt.good)
		}
	}
}

// FuzzClaimHeader: no claim breaks out of its header, and two claims never look alike.
func FuzzClaimHeader(f *testing.F) {
	for _, seed := range []string{"alice", "a%b", " x ", "\r\nX: y", "\xff", "ü", "%41", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		g, err := gateway.New(gateway.Config{Credentials: named(name), ClaimHeaders: []gateway.ClaimHeader{{Header: "X-Client", Name: true}}})
		if err != nil {
			t.Fatal(err)
		}
		d, _ := g.Decide(httptest.NewRequest("GET", "/", nil))
		got := d.Headers().Get("X-Client")
		for i := range len(got) {
			if got[i] < ' ' || got[i] > '~' {
				t.Errorf("%q: got %q", name, got)
			}
		}
		if back, err := url.PathUnescape(got); err != nil || back != name {
			t.Errorf("%q: got %q, which means %q, %v", name, got, back, err)
		}
	})
}

// named authenticates everyone, by the name of an API key.
type named string

func (n named) Authenticate(*http.Request) (*access.Identity, error) {
	return &access.Identity{Mode: access.APIKey, Name: string(n)}, nil
}
func (named) Strip(_ http.Header, query string) string    { return query }
func (named) Still(*http.Request, *access.Identity) error { return nil }

// TestChangesOfWhatIsAskedFor: what was decided about is what the upstream is asked for, also behind another proxy.
func TestChangesOfWhatIsAskedFor(t *testing.T) {
	iss := ctbtest.NewIssuer(t)
	g := decider(t, iss, func(c *gateway.Config) { c.Routes = []gateway.Route{{Path: "/*", Methods: []string{"GET"}}} })
	r := iss.Request("GET", "/", nil)
	want := []string{"Authorization", "X-Http-Method-Override", "X-Original-Url", "X-Rewrite_url"}
	for _, name := range want[1:] {
		r.Header[name] = []string{"/admin"}
	}
	r.Header.Set("X-Forwarded-For", "192.0.2.1") // the other proxy's own
	d, refusal := g.Decide(r)
	if refusal != nil {
		t.Fatal(refusal)
	}
	defer d.Done()
	if _, remove, _ := d.Changes(r); !slices.Equal(remove, want) {
		t.Errorf("got %q removed, want %q", remove, want)
	}
}

// TestClaimHeadersUnderOtherNames: servers that make variables of headers write "_" for all that is neither letter nor
// digit (RFC 3875 section 4.1.18 leaves it to them), so each such name is the client's claim as well.
func TestClaimHeadersUnderOtherNames(t *testing.T) {
	g := newRig(t, setup{change: func(c *gateway.Config) {
		c.ClaimHeaders = []gateway.ClaimHeader{{Header: "X-User", Claim: []string{"role"}}}
	}})
	for _, c := range "!#$%&'*+-.^_`|~" {
		g.raw(fmt.Sprintf("GET / HTTP/1.1\r\nHost: gw\r\nConnection: close\r\nAuthorization: Bearer %s\r\nx%cuser: root\r\nX%[2]cForwarded%[2]cFor: root\r\n\r\n", g.issuer.Token(nil), c))
		for name, values := range g.reached()[0].Header {
			if values[0] == "root" {
				t.Errorf("the upstream got %s", name)
			}
		}
	}
}
