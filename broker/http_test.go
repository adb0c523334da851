package broker

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// room is a body that never comes; it knows how much room was made for it.
type room int

func (r *room) Read(p []byte) (int, error) {
	*r = room(len(p))
	return 0, io.ErrUnexpectedEOF
}

// What a client only announces takes little memory: 8 requests on each of 4096 connections may wait for their bodies.
func TestAnnouncedBodiesTakeLittleMemory(t *testing.T) {
	var made room
	r := httptest.NewRequest(http.MethodPost, "/token", &made)
	r.ContentLength = MaxBody
	if _, err := readBody(httptest.NewRecorder(), r); err == nil || made > 8<<10 {
		t.Errorf("got %v after room was made for %d bytes, want an error after little", err, made)
	}
}

// writes are the sizes of what was written at once.
type writes struct {
	*httptest.ResponseRecorder
	sizes []int
}

func (w *writes) Write(p []byte) (int, error) {
	w.sizes = append(w.sizes, len(p))
	return w.ResponseRecorder.Write(p)
}

// A document is written from where it is: who takes none of it holds no copy.
func TestDocumentsAreNotCopied(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789"), 10_000)
	w := &writes{ResponseRecorder: httptest.NewRecorder()}
	newDocument("application/json", body, time.Minute).serve(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if !bytes.Equal(w.Body.Bytes(), body) || len(w.sizes) != 1 {
		t.Errorf("got %d bytes, in pieces of %v", w.Body.Len(), w.sizes)
	}
}

// Who has a document already is told so, however he names it (RFC 9110 section 13.1.2).
func TestIfNoneMatch(t *testing.T) {
	d := newDocument("application/json", []byte("{}"), time.Minute)
	for _, tt := range []struct {
		lines []string
		want  int
	}{
		{[]string{d.tag}, http.StatusNotModified},
		{[]string{"W/" + d.tag}, http.StatusNotModified}, // as a proxy that compresses makes it
		{[]string{`"other" , ` + d.tag}, http.StatusNotModified},
		{[]string{`"other"`, d.tag}, http.StatusNotModified},
		{[]string{"*"}, http.StatusNotModified},
		{nil, http.StatusOK},
		{[]string{""}, http.StatusOK},
		{[]string{`"other"`}, http.StatusOK},
		{[]string{strings.Trim(d.tag, `"`)}, http.StatusOK},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["If-None-Match"] = tt.lines
		w := httptest.NewRecorder()
		if d.serve(w, r); w.Code != tt.want || (w.Body.Len() == 0) != (tt.want == http.StatusNotModified) || w.Header().Get("Etag") != d.tag {
			t.Errorf("%q: got %d %v, want %d", tt.lines, w.Code, w.Header(), tt.want)
		}
	}
}

func TestKeySetIsServed(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	f := newFixture(t, nil, p)
	resp, text := f.get(t, "/.well-known/jwks.json")
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/jwk-set+json" || resp.Header.Get("Cache-Control") != "public, max-age=60" {
		t.Errorf("got %s %v", resp.Status, resp.Header)
	}
	for _, member := range []string{`{"keys":[{"kty":"EC","use":"sig","crv":"P-256","x":`, `"x5c":["`, `"alg":"ES256"}]}`} {
		if !strings.Contains(text, member) {
			t.Errorf("no %s in %.200s", member, text)
		}
	}
	r, _ := http.NewRequest(http.MethodGet, f.server.URL+"/.well-known/jwks.json", nil)
	r.Header.Set("If-None-Match", resp.Header.Get("Etag"))
	if resp, text := f.do(t, r); resp.StatusCode != http.StatusNotModified || text != "" {
		t.Errorf("the same again: got %s %s", resp.Status, text)
	}
	r.Method = http.MethodHead
	r.Header.Del("If-None-Match")
	if resp, _ := f.do(t, r); resp.StatusCode != 200 || resp.ContentLength != int64(len(f.ring.published.Load().body)) {
		t.Errorf("HEAD: got %s, length %d", resp.Status, resp.ContentLength)
	}
}

func TestMetadata(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	for issuer, paths := range map[string][]string{
		"https://broker.example.com":          {"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"},
		"https://broker.example.com/tenants/": {"/.well-known/oauth-authorization-server/tenants", "/tenants/.well-known/openid-configuration"},
	} {
		f := newFixture(t, func(c *Config) { c.Issuer = issuer }, p)
		for _, path := range paths {
			resp, text := f.get(t, path)
			var m struct {
				Issuer string   `json:"issuer"`
				Token  string   `json:"token_endpoint"`
				Keys   string   `json:"jwks_uri"`
				Grants []string `json:"grant_types_supported"`
				Types  []string `json:"response_types_supported"`
			}
			if err := json.Unmarshal([]byte(text), &m); err != nil || resp.StatusCode != 200 {
				t.Fatalf("%s: got %s, %v", path, resp.Status, err)
			}
			base := strings.TrimRight(issuer, "/")
			if m.Issuer != issuer || m.Token != base+"/token" || m.Keys != base+"/.well-known/jwks.json" || len(m.Grants) != 1 || m.Types == nil {
				t.Errorf("%s: got %+v", path, m)
			}
			if resp, _ := f.get(t, strings.TrimPrefix(m.Keys, "https://broker.example.com")); resp.StatusCode != 200 {
				t.Errorf("jwks_uri %s: got %s", m.Keys, resp.Status)
			}
		}
	}
}

func TestPathsAndMethods(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	f := newFixture(t, nil, p)
	for _, c := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/", 404, ""},
		{"GET", "/token/", 404, ""},
		{"POST", "/stsToken", 404, ""}, // not in this profile
		{"GET", "/../token", 404, ""},
		{"GET", "/token", 405, "POST"},
		{"PUT", "/token", 405, "POST"},
		{"POST", "/.well-known/jwks.json", 405, "GET, HEAD"},
		{"DELETE", "/readyz", 405, "GET, HEAD"},
		{"GET", "/healthz", 200, ""},
		{"GET", "/readyz", 200, ""},
	} {
		r, _ := http.NewRequest(c.method, f.server.URL+c.path, nil)
		resp, text := f.do(t, r)
		if resp.StatusCode != c.status || resp.Header.Get("Allow") != c.allow || !json.Valid([]byte(text)) {
			t.Errorf("%s %s: got %s, Allow %q: %s", c.method, c.path, resp.Status, resp.Header.Get("Allow"), text)
		}
		if resp.Header.Get("X-Content-Type-Options") != "nosniff" || resp.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s %s: headers %v", c.method, c.path, resp.Header)
		}
	}
}

func TestParametersInTheQueryAreRefused(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	f := newFixture(t, nil, p)
	resp, text := f.post(t, "/token?scope=read", formType, form(p.token(t, noon)).Encode())
	if resp.StatusCode != 400 || !strings.Contains(text, "query") {
		t.Errorf("got %s %s", resp.Status, text)
	}
}

func TestConfigIsChecked(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	good := Config{
		Issuer: brokerURL, Rules: parseRules(t, ruleFile("", p)), Quoter: newHardware(t), Audit: &events{},
	}
	if _, err := New(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	for says, change := range map[string]func(*Config){
		`got "http://x"`:           func(c *Config) { c.Issuer = "http://x" },
		`got ""`:                   func(c *Config) { c.Issuer = "" },
		"it has a user, a query":   func(c *Config) { c.Issuer = "https://x?a=b" },
		"it has a user, a query ":  func(c *Config) { c.Issuer = "https://u@x" },
		`got "https://:8080"`:      func(c *Config) { c.Issuer = "https://:8080" },
		`got "https://x:99999"`:    func(c *Config) { c.Issuer = "https://x:99999" },
		`got "https://x:0"`:        func(c *Config) { c.Issuer = "https://x:0" },
		`got "a b", want a DNS`:    func(c *Config) { c.Names = []string{"a", "*.b.example", "::1", "a b"} },
		"no rules":                 func(c *Config) { c.Rules = nil },
		"no quoter":                func(c *Config) { c.Quoter = nil },
		"no audit":                 func(c *Config) { c.Audit = nil },
		`got "HS256"`:              func(c *Config) { c.Algorithm = "HS256" },
		"want RS256, the only one": func(c *Config) { c.Algorithm, c.Original = "ES256", true },
		"RotateEvery: got 1ns":     func(c *Config) { c.RotateEvery = 1 },
		"want 5m0s to 2160h0m0s":   func(c *Config) { c.RotateEvery = -1 },
	} {
		c := good
		change(&c)
		if _, err := New(t.Context(), c); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(says)) {
			t.Errorf("got %v, want … %s", err, says)
		}
	}
}

func TestPanicIsLoggedWithoutContents(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	var log bytes.Buffer
	f := newFixture(t, func(c *Config) {
		c.Logger = slog.New(slog.NewJSONHandler(&log, nil))
		c.Audit = panicking{}
	}, p)
	r := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(form("secret-token").Encode()))
	r.Header.Set("Content-Type", formType)
	defer func() {
		if got := recover(); got != http.ErrAbortHandler {
			t.Errorf("got %v, want the connection dropped", got)
		}
		if !strings.Contains(log.String(), "panic") || strings.Contains(log.String(), "secret-token") {
			t.Errorf("log: %s", log.String())
		}
	}()
	f.ServeHTTP(httptest.NewRecorder(), r)
}

type panicking struct{}

func (panicking) Record(context.Context, *Event) error { panic("secret-token") }
