package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/cmd/internal/configfile"
	"github.com/confidential-token-broker/ctb/cmd/internal/evidence"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestExample: the example is good, and its comments hold keys that are known.
func TestExample(t *testing.T) {
	const example = "../../deploy/gateway.example.yaml"
	c, err := loadConfig(example)
	if err != nil {
		t.Fatal(err)
	}
	jwt := c.Authorization.JWT
	if got, want := jwt.Broker.Policy, filepath.Join(filepath.Dir(example), "policy.yaml"); got != want {
		t.Errorf("policy: got %s, want %s", got, want)
	}
	if got := len(jwt.requirements()); got != 4 {
		t.Errorf("got %d requirements, want 4", got)
	}

	text, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		key, commented := strings.CutPrefix(strings.TrimSpace(line), "# ")
		name, value, ok := strings.Cut(key, ": ")
		if !commented || !ok || strings.Contains(name, " ") {
			continue
		}
		known := map[string]bool{"certificate": true, "key": true, "collateral": true, "jwks_url": true, "jwks_path": true,
			"public_key_pem_path": true, "algorithm": true, "ca_path": true, "type": true, "tls": true,
			"pcs": true, "update": true, "api_key_file": true, "cache": true, "file": true}
		if !known[name] {
			t.Errorf("comment names %q (%s), which is no key", name, value)
		}
	}
}

// TestOriginal: the profile of the original's clients can be written down.
func TestOriginal(t *testing.T) {
	c, err := loadConfig(write(t, "gateway.yaml", `
upstream: http://127.0.0.1:3000
authorization:
  jwt:
    broker: {url: "https://127.0.0.1:8080", policy: policy.yaml}
    issuer: enclave authorization
    audience: https://example.com/server1-api
    type: JWT
`))
	if err != nil {
		t.Fatal(err)
	}
	v := c.Authorization.JWT.verifierConfig(new(liveKeys))
	if c.Listen != "127.0.0.1:9999" || c.Limits.Connections != 4096 || v.Issuer != "enclave authorization" || v.Type != ctb.IDToken || v.Audience != "https://example.com/server1-api" {
		t.Errorf("got %s, %+v", c.Listen, v)
	}
}

// TestCollateral: a text is the file; a mapping has all of it, with its paths beside the configuration.
func TestCollateral(t *testing.T) {
	for text, want := range map[string]evidence.Source{
		"c.json": {File: "c.json"},
		"{pcs: conf/qcnl.conf, update: early, api_key_file: key, ca_path: ca.pem, cache: kept, file: c.json}": {
			PCS: "conf/qcnl.conf", Update: "early", APIKeyFile: "key", CA: "ca.pem", Cache: "kept", File: "c.json"},
		"{pcs: intel}": {PCS: "intel"},
		"{pcs: \"https://pccs.example.com:8081/sgx/certification/v4/\"}": {PCS: "https://pccs.example.com:8081/sgx/certification/v4/"},
		"null": {},
	} {
		path := write(t, "gateway.yaml", "upstream: http://h\nauthorization:\n  jwt: {issuer: i, audience: a, broker: {url: \"https://b\", policy: p, collateral: "+text+"}}\n")
		c, err := loadConfig(path)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		for _, p := range want.Paths() {
			if *p != "" {
				*p = filepath.Join(filepath.Dir(path), *p)
			}
		}
		if got := c.Authorization.JWT.Broker.Collateral; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", text, got, want)
		}
	}
}

// TestNotary: the jwt block of the notary server's proposal means what it means there.
func TestNotary(t *testing.T) {
	c, err := loadConfig(write(t, "config.yaml", `
upstream: http://127.0.0.1:3000
authorization:
  enabled: true
  jwt:
    public_key_pem_path: "./fixture/auth/jwt.pub"
    claims:
      - name: sub
        values: [test]
      - name: host
        values: [api.x.com]
        value_type: String
      - name: my.super.identity
`))
	if err != nil {
		t.Fatal(err)
	}
	jwt := c.Authorization.JWT
	v := jwt.verifierConfig(new(liveKeys))
	if !v.AnyIssuer || !v.AnyAudience || v.Type != ctb.IDToken {
		t.Errorf("got %+v, want any issuer and audience, and typ JWT", v)
	}
	good, err := ctb.UnverifiedToken([]byte(`{"exp":1,"sub":"test","host":"api.x.com","my":{"super":{"identity":"me"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := good.Satisfies(jwt.requirements()...); err != nil {
		t.Error(err)
	}
	for _, claims := range []string{`{"exp":1,"sub":"other","host":"api.x.com","my":{"super":{"identity":"me"}}}`, `{"exp":1,"sub":"test","host":"api.x.com"}`} {
		bad, err := ctb.UnverifiedToken([]byte(claims))
		if err != nil {
			t.Fatal(err)
		}
		if bad.Satisfies(jwt.requirements()...) == nil {
			t.Errorf("%s: satisfies", claims)
		}
	}
}

func TestEnvoyTypes(t *testing.T) {
	c, err := loadConfig(write(t, "gateway.json", `{
		"upstream": "https://10.0.0.1/app",
		"authorization": {"jwt": {"jwks_path": "jwks.json", "issuer": "i", "audience": "a", "scopes": ["read", "write"],
			"claims": [{"name": "roles", "value_type": "StringArray", "values": ["admin"]}, {"name": "level", "value_type": "INT", "values": [3, -4]}]}}
	}`))
	if err != nil {
		t.Fatal(err)
	}
	reqs := c.Authorization.JWT.requirements()
	token, err := ctb.UnverifiedToken([]byte(`{"exp":1,"scope":"write x read","roles":["user","admin"],"level":-4}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := token.Satisfies(reqs...); err != nil {
		t.Error(err)
	}
}

// TestConfigErrors: each fault with the line and column where it is, or where what is missing would be.
func TestConfigErrors(t *testing.T) {
	jwt := func(lines ...string) string {
		return "upstream: http://127.0.0.1:3000\nauthorization:\n  jwt:\n    " + strings.Join(lines, "\n    ") + "\n"
	}
	jwks := func(lines ...string) string {
		return jwt(append([]string{"jwks_url: https://idp.example/jwks", "issuer: i", "audience: a"}, lines...)...)
	}
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", "gateway.yaml: the file is empty"},
		{"comments alone", "# nothing\n", "gateway.yaml: "},
		{"null", "null\n", "gateway.yaml:1:1: "},
		{"syntax", "upstream: [", "gateway.yaml:1:11: "},
		{"unknown key", "upstream: http://h\nupstrem: x\n", `gateway.yaml:2:1: unknown field "upstrem"`},
		{"unknown key below", jwks("claim: x"), `gateway.yaml:7:5: unknown field "claim"`},
		{"key twice", "upstream: http://h\nupstream: http://i\n", `gateway.yaml:2:1: mapping key "upstream" already defined at [1:1]`},
		{"wrong kind", "upstream: http://h\nforward_token: maybe\n", "gateway.yaml:2:16: got text, want true or false"},
		{"map for a list", jwks("scopes: {a: b}"), "gateway.yaml:7:13: mapping was used where sequence is expected"},
		{"map for a text", jwks("scopes: [{a: b}]"), "got keys and values, want text; text with a colon in it needs quotes"},
		{"two documents", jwks() + "---\nupstream: x\n", "gateway.yaml: it has more than one document"},
		{"listen", "listen: 9999\nupstream: http://h\n", `gateway.yaml:1:9: listen: got "9999", want an address and a port`},
		{"connections", "listen: :9999\nlimits:\n  connections: -1\nupstream: http://h\n", "gateway.yaml:3:16: limits.connections: got -1, want 1 to 1000000"},
		{"no upstream", "listen: :9999\n", "gateway.yaml: upstream: missing"},
		{"upstream without scheme", "upstream: 127.0.0.1:3000\n", `gateway.yaml:1:11: upstream: got `},
		{"upstream of another scheme", "upstream: ftp://h\n", `gateway.yaml:1:11: upstream: got "ftp://h", want http or https`},
		{"upstream with a password", "upstream: http://u:hunter2@h\n", `gateway.yaml:1:11: upstream: got "http://u:xxxxx@h"`},
		{"half of tls", "upstream: http://h\ntls:\n  certificate: c.pem\n", "gateway.yaml:3:3: tls: want both certificate and key"},
		{"no authorization", "upstream: http://h\n", "gateway.yaml: authorization.jwt: missing"},
		{"no jwt", "upstream: http://h\nauthorization:\n  enabled: true\n", "gateway.yaml:3:3: authorization.jwt: missing"},
		{"switched off", "upstream: http://h\nauthorization:\n  enabled: false\n", "gateway.yaml:3:12: authorization.enabled: got false"},
		{"no keys", jwt("issuer: i"), "gateway.yaml:4:5: authorization.jwt: got none, want exactly one of public_key_pem_path"},
		{"two kinds of keys", jwks("jwks_path: x"), "gateway.yaml:4:5: authorization.jwt: got jwks_url and jwks_path, want exactly one"},
		{"no issuer", jwt("jwks_path: x", "audience: a"), "gateway.yaml:4:5: authorization.jwt.issuer: missing"},
		{"no audience", jwt("jwks_path: x", "issuer: i"), "gateway.yaml:4:5: authorization.jwt.audience: missing"},
		{"plain http keys", jwt("jwks_url: http://idp.example/jwks"), `gateway.yaml:4:15: authorization.jwt.jwks_url: got "http://idp.example/jwks", want an https URL`},
		{"broker without url", jwt("broker:", "  policy: p"), "gateway.yaml:5:7: authorization.jwt.broker.url: got "},
		{"broker without policy", jwt("broker:", "  url: https://b"), "gateway.yaml:5:7: authorization.jwt.broker.policy: missing"},
		{"broker's TLS", jwt("broker:", "  url: https://b", "  policy: p", "  tls: off"), `gateway.yaml:7:12: authorization.jwt.broker.tls: got "off", want attested or public`},
		{"broker's TLS twice", jwt("broker: {url: https://b, policy: p, tls: public}", "ca_path: x"), `authorization.jwt.broker.tls: got "public" beside ca_path`},
		{"collateral of an unknown channel", jwt("broker:", "  url: https://b", "  policy: p", "  collateral: {pcs: intel, update: late}"),
			`gateway.yaml:7:40: authorization.jwt.broker.collateral.update: got "late", want standard or early`},
		{"collateral of an unknown key", jwt("broker:", "  url: https://b", "  policy: p", "  collateral:", "    pcs: intel", "    cash: x"), `gateway.yaml:9:9: unknown field "cash"`},
		{"collateral as a list", jwt("broker:", "  url: https://b", "  policy: p", "  collateral: [x]"), "gateway.yaml:7:19: "},
		{"algorithm of a set", jwks("algorithm: RS256"), "gateway.yaml:7:16: authorization.jwt.algorithm: has no effect here"},
		{"algorithm of secrets", jwt("public_key_pem_path: x", "algorithm: HS256"), `gateway.yaml:5:16: authorization.jwt.algorithm: got "HS256", want one of RS256`},
		{"CAs of a file", jwt("jwks_path: x", "issuer: i", "audience: a", "ca_path: x"), "gateway.yaml:7:14: authorization.jwt.ca_path: has no effect here"},
		{"type", jwks("type: bearer"), `gateway.yaml:7:11: authorization.jwt.type: got "bearer", want at+jwt`},
		{"empty scope", jwks(`scopes: [a, ""]`), `gateway.yaml:7:17: authorization.jwt.scopes[1]: got "", want one scope`},
		{"two scopes in one", jwks("scopes: [a b]"), `gateway.yaml:7:14: authorization.jwt.scopes[0]: got "a b", want one scope`},
		{"claim without a name", jwks("claims:", "  - values: [x]"), "gateway.yaml:8:9: authorization.jwt.claims[0]: a claim rule has either a name or a path"},
		{"claim of an unknown type", jwks("claims:", "  - name: x", "    value_type: float"), `value_type is "float", want one of`},
		{"value of another type", jwks("claims:", "  - name: x", "  - name: y", "    values: [1]"), `gateway.yaml:9:9: authorization.jwt.claims[1]: claim "y": values[0] is a uint64, want string`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := write(t, "gateway.yaml", tt.text)
			_, err := loadConfig(path)
			if err == nil {
				t.Fatal("got no error")
			}
			got := strings.ReplaceAll(err.Error(), filepath.Dir(path)+string(filepath.Separator), "")
			if !strings.Contains(got, tt.want) {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if strings.Contains(got, "hunter2") {
				t.Errorf("the password is in the message: %s", got)
			}
		})
	}
}

func FuzzConfig(f *testing.F) {
	example, err := os.ReadFile("../../deploy/gateway.example.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(example)
	f.Add([]byte(`{"upstream":"http://h","authorization":{"jwt":{"jwks_path":"x","issuer":"i","audience":"a"}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c := new(config)
		file, err := configfile.Decode("f", text, c)
		c.file = file
		if err == nil && c.check() == nil {
			c.resolvePaths()
			if c.Authorization.JWT == nil || c.upstream == nil {
				t.Error("a configuration without authorization or upstream passed")
			}
		}
	})
}
