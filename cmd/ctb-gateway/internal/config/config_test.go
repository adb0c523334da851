package config_test

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/cmd/ctb-gateway/internal/config"
	"github.com/confidential-token-broker/ctb/gateway"
	"github.com/confidential-token-broker/ctb/gateway/credential"
)

func parse(t *testing.T, text string, environ ...string) *config.Config {
	t.Helper()
	c, err := config.Parse("dir/f", []byte(text), environ)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return c
}

// TestJSON: JSON is good as well.
func TestJSON(t *testing.T) {
	c := parse(t, `{"upstream": "http://127.0.0.1:3000", "authorization": {"jwt": {"public_key_pem_path": "a", "claims": [{"name": "n", "values": [7], "value_type": "int"}]}}}`)
	if !c.Enabled || len(c.Requirements) != 1 {
		t.Errorf("got %+v", c)
	}
}

func TestDefaults(t *testing.T) {
	c := parse(t, jwt)
	want := &config.Config{
		Path: "dir/f", Listen: "127.0.0.1:9999", Upstream: c.Upstream, Profile: gateway.Strict, ProfileReason: "the default", Connections: 4096,
		Timeouts:  config.Timeouts{Connect: 5 * time.Second, Answer: time.Minute, Idle: 10 * time.Minute},
		Enabled:   true,
		Issuers:   []config.Issuer{{Type: ctb.IDToken, PublicKeyPEM: filepath.FromSlash("dir/jwt.pub"), Key: "authorization.jwt"}},
		TokenFrom: []credential.Place{{Kind: credential.Authorization}},
	}
	if !reflect.DeepEqual(exported(*c), exported(*want)) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	s := parse(t, jwt+"sessions: on\n").Sessions
	if s == nil || s.Issue || s.Create != "/session" || s.Use != "/notarize" || s.TTL != 10*time.Minute || s.Max != 10000 || s.MaxPerIdentity != 1000 || s.Concurrency != 0 {
		t.Errorf("got %+v", s)
	}
}

// exported are the exported fields, for comparison.
func exported(c config.Config) map[string]any {
	fields := map[string]any{}
	v := reflect.ValueOf(c)
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.IsExported() {
			fields[f.Name] = v.Field(i).Interface()
		}
	}
	return fields
}

// TestWhoIsLetThrough: when authorization is on, and when it is not.
func TestWhoIsLetThrough(t *testing.T) {
	for _, c := range []struct {
		text    string
		enabled bool
	}{
		{jwt, true},
		{up + "authorization: {whitelist: a}", true},
		{up + "auth: {enabled: true, whitelist: a}", true},
		{up + "auth: {enabled: false, whitelist: a}", false},
		{up + "auth: {enabled: false, whitelist: null}", false},
		{up + "auth: {enabled: false}", false},
		{up + "auth: {enabled: false, whitelist: a, jwt: {public_key_path: b}}", false},
		{up + "host: 127.0.0.1", false},
		{up + "profile: notary", false},
	} {
		got := parse(t, c.text)
		if got.Enabled != c.enabled {
			t.Errorf("%q: got %v, want %v", c.text, got.Enabled, c.enabled)
		}
		if loud := len(got.Warnings) > 0 && strings.HasPrefix(got.Warnings[0], "EVERYTHING IS OPEN: "); loud == c.enabled {
			t.Errorf("%q: got the warnings %q", c.text, got.Warnings)
		}
		if !c.enabled && (got.Issuers != nil || got.Whitelist != nil || len(got.Files()) != 0) {
			t.Errorf("%q: it is open, and names keys: %+v", c.text, got)
		}
	}
}

// TestProfile: the notary server's keys make its profile the default; nothing else does.
func TestProfile(t *testing.T) {
	for text, want := range map[string]gateway.Profile{
		jwt:                                    gateway.Strict,
		jwt + "concurrency: 1\nsessions: on\n": gateway.Strict,
		jwt + "log: {level: DEBUG, format: COMPACT}\n":              gateway.Strict,
		jwt + "server: {name: a}\n":                                 gateway.Notary,
		jwt + "port: 1\n":                                           gateway.Notary,
		jwt + "html-info: a\n":                                      gateway.Notary,
		jwt + "notarization: {timeout: 1}\n":                        gateway.Notary,
		jwt + "notary_key: {public_key_pem_path: a}\n":              gateway.Notary,
		jwt + "port: 1\nprofile: strict\n":                          gateway.Strict,
		up + "profile: Notary\nauthorization: {whitelist: a.csv}\n": gateway.Notary,
	} {
		c := parse(t, text)
		if c.Profile != want {
			t.Errorf("%q: got %s (%s), want %s", text, c.Profile, c.ProfileReason, want)
		}
		if on := c.Sessions != nil; on != (want == gateway.Notary) && !strings.Contains(text, "sessions") {
			t.Errorf("%q: got sessions %v under profile %s", text, on, want)
		}
	}
}

// TestListen: our address, or the notary server's.
func TestListen(t *testing.T) {
	for text, want := range map[string]string{
		"":                                      "127.0.0.1:9999",
		"host: 10.0.0.1":                        "10.0.0.1:7047",
		"port: 80":                              "0.0.0.0:80",
		"server: {host: \"::1\", port: 80}":     "[::1]:80",
		"listen: 127.0.0.1:1\nhost: 0.0.0.0":    "127.0.0.1:1",
		"listen: \":1\"":                        ":1",
		"listen: \"[::]:0\"\nadmin: \"[::]:0\"": "[::]:0",
	} {
		if got := parse(t, jwt+text).Listen; got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
	if got := parse(t, jwt+"listen: 127.0.0.1:1\nserver: {host: a, port: 2}").ForUpstream; !reflect.DeepEqual(got, []string{"server.host", "server.port"}) {
		t.Errorf("got %q for the upstream", got)
	}
	if c := parse(t, "ext_authz: 127.0.0.1:0\nauthorization: {whitelist: a}"); c.Listen != "" || c.Upstream != nil || c.ExtAuthz != "127.0.0.1:0" {
		t.Errorf("got %+v", c)
	}
}

// TestAPIKeyHeader: where a key stands depends on how its file is named.
func TestAPIKeyHeader(t *testing.T) {
	for text, want := range map[string]string{
		"whitelist: a":                                    "X-Api-Key",
		"whitelist_path: a":                               "X-Api-Key",
		"whitelist: {path: a}":                            "X-Api-Key",
		"whitelist_csv_path: a":                           "Authorization",
		"whitelist-csv-path: a":                           "Authorization",
		"whitelist_csv_path: a\n  api_key_header: x-key":  "X-Key",
		"whitelist: a\n  api_key_header: AUTHORIZATION\n": "Authorization",
	} {
		w := parse(t, up+"authorization:\n  "+text).Whitelist
		if w.Header != want || w.Path != filepath.FromSlash("dir/a") {
			t.Errorf("%q: got %+v, want %s", text, w, want)
		}
	}
}

func TestOpenPaths(t *testing.T) {
	got := parse(t, jwt+"  open: [/healthcheck, /info/*]\n").Routes
	want := []gateway.Route{{Name: "/healthcheck", Path: "/healthcheck", Open: true}, {Name: "/info/*", Path: "/info/*", Open: true}, {Name: "default", Path: "/*"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := parse(t, jwt+"  open: [/a]\n  routes: [{path: /b}]\n").Routes; len(got) != 2 {
		t.Errorf("got %+v, want no way to what is neither", got)
	}
}

func TestFilesAndFault(t *testing.T) {
	c, err := config.Load("testdata/ours.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"gateway.crt", "gateway.key", "ca.pem", "me.crt", "me.key", "keys.csv", "policy.yaml", "old.pub"}
	for i := range want {
		want[i] = filepath.Join("testdata", want[i])
	}
	if got := c.Files(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	c, err = config.Load("testdata/alpha12.yaml", []string{"NS_AUTH__JWT__PUBLIC_KEY_PATH=x"})
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"authorization.jwt.public_key_pem_path": "environment variable NS_AUTH__JWT__PUBLIC_KEY_PATH: auth.jwt.public_key_path: no",
		"authorization.jwt":                     "testdata/alpha12.yaml:29:5: auth.jwt: no",
		"authorization.jwt.audience":            "testdata/alpha12.yaml:29:5: auth.jwt.audience: no",
		"logging.level":                         "testdata/alpha12.yaml:22:10: log.level: no",
	} {
		if got := c.Fault(key, "no").Error(); got != want {
			t.Errorf("%s: got %s, want %s", key, got, want)
		}
	}
}

// TestDescriptionTellsNoSecret: where keys are fetched from may have one in its query.
func TestDescriptionTellsNoSecret(t *testing.T) {
	var text strings.Builder
	c := parse(t, set+"    issuers: [{issuer: a, audience: e, jwks_url: \"https://a.example/keys?token=hush\"}]\n")
	if err := c.Describe(&text); err != nil || !strings.Contains(text.String(), "https://a.example/keys") || strings.Contains(text.String(), "hush") {
		t.Errorf("got %v and:\n%s", err, text.String())
	}
}

// TestWarnings: what is allowed but better not so is said.
func TestWarnings(t *testing.T) {
	for text, want := range map[string]string{
		jwt + "    token_from: [{query: t}]\n":                                 "query parameter t stay",
		jwt + "    token_from: [{cookie: t}]\n":                                "(CSRF)",
		jwt + "    token_from: [{cookie: t}]\ncors: {origins: [\"*\"]}\n":      "every origin may ask",
		jwt + "    claims: []\n":                                               "authorization.jwt.claims is an empty list",
		jwt + "    deny: []\n":                                                 "authorization.jwt.deny is an empty list",
		jwt + "listen: 0.0.0.0:1\n":                                            "credentials can be read",
		jwt + "port: 7047\n":                                                   "credentials can be read",
		jwt + "trusted_proxies: [\"::/0\"]\n":                                  "which is everyone",
		jwt + "admin: 0.0.0.0:1\n":                                             "read the metrics",
		jwt + "authorize: 0.0.0.0:1\n":                                         "learn which credentials",
		jwt + "  routes: [{path: /a, rules: [{action: deny, scopes: [a]}]}]\n": "refuses everyone",
		jwt + "  open: [\"/*\"]\n":                                             "EVERYTHING IS OPEN",
		"upstream: http://a.example\nforward_token: true\n" + jwt[len(up):]:    "on the way to the upstream",
		set + "    issuers: [{issuer: a, public_key_path: b}, {issuer: c, public_key_path: d, audience: e}]\n": "tokens of a are let through whomever",
		up + "authorization: {enabled: false}\n":    "authorization.enabled is false",
		set + "    jwks_path: k\n    issuer: a\n":   "tokens of a are let through whomever they are for",
		set + "    jwks_path: k\n    audience: a\n": "let through whatever their iss",
		jwt + "concurrency: 8\n":                    "so these bound nothing here: concurrency;",
	} {
		if got := strings.Join(parse(t, text).Warnings, "\n"); !strings.Contains(got, want) {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	if got := parse(t, jwt+"  routes: [{path: /a}]\nlisten: localhost:1\n").Warnings; len(got) != 0 {
		t.Errorf("got %q, want nothing", got)
	}
}
