package rules_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb/rules"
)

// base is a rule file with every key; each test spoils one thing in it.
const base = `{"configs": [{
  "idp": "https://idp.example/",
  "jwk_endpoint": "https://idp.example/jwks.json",
  "client_id": "app",
  "server_api": ["https://api.example/one", "https://api.example/two"],
  "scope": "openid read",
  "expiration": 3600,
  "name": "readers",
  "claims": [{"name": "email_verified", "values": [true], "value_type": "bool"}],
  "token_claims": {"role": "org.role"}
}]}
`

// parse fails the test if text is no rule file.
func parse(t testing.TB, text string) *rules.Set {
	t.Helper()
	s, err := rules.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestParseTheOriginalsFile(t *testing.T) {
	data, err := os.ReadFile("testdata/original.json")
	if err != nil {
		t.Fatal(err)
	}
	s := parse(t, string(data))
	if s.Digest() != sha256.Sum256(data) {
		t.Error("the digest is not the SHA-256 of the file")
	}
	if want := "sha256:8f4630665067a141bd88c4cbba70a502cbe2b6c7fb5331c8023107233654fc07"; s.DigestString() != want {
		t.Errorf("got %s, want %s", s.DigestString(), want)
	}
	want := []rules.Issuer{{
		URL:     "https://dev-f3qm0elg4mvfgpsu.us.auth0.com/",
		JWKSURL: "https://dev-f3qm0elg4mvfgpsu.us.auth0.com/.well-known/jwks.json",
	}}
	if got := s.Issuers(); !reflect.DeepEqual(got, want) || s.Len() != 1 {
		t.Errorf("got %d rules of %v, want 1 of %v", s.Len(), got, want)
	}
	if warnings := s.Check(); len(warnings) != 0 {
		t.Errorf("got %v, want no warning", warnings)
	}
}

func TestParseAccepts(t *testing.T) {
	for _, c := range []struct{ name, old, new string }{
		{"every key", ``, ``},
		{"no name", `"name": "readers",`, ``},
		{"no claims", `  "claims": [{"name": "email_verified", "values": [true], "value_type": "bool"}],`, ``},
		{"no token_claims", `"bool"}],` + "\n" + `  "token_claims": {"role": "org.role"}`, `"bool"}]`},
		{"discovery", `  "jwk_endpoint": "https://idp.example/jwks.json",` + "\n", ``},
		{"an endpoint with a query", `jwks.json`, `jwks?p=sign-in`},
		{"no scope", `"openid read"`, `""`},
		{"surplus spaces in the scope, as the original took them", `"openid read"`, `" openid  read "`},
		{"one second", `3600`, `1`},
		{"a day", `3600`, `86400`},
		{"localhost over http", `"https://idp.example/"`, `"http://localhost:8080/"`},
		{"127.0.0.2 over http", `"https://idp.example/"`, `"http://127.0.0.2/"`},
		{"::1 over http", `"https://idp.example/"`, `"http://[::1]:8080/"`},
		{"an audience that is no URL", `"https://api.example/one"`, `"reports"`},
		{"a claim by path", `"name": "email_verified"`, `"path": ["https://idp.example/verified"]`},
		{"value type in capitals", `"bool"`, `"Bool"`},
		{"an integer that a double cannot hold", `[true], "value_type": "bool"`, `[9007199254740993], "value_type": "int"`},
		{"a token claim by path", `"org.role"`, `["https://idp.example/role"]`},
		{"a token claim with a URL for a name", `"role":`, `"https://api.example/role":`},
		{"a name of any script", `"readers"`, `"Leser für Berichte, 読者"`},
		{"the length of the longest name", `"readers"`, `"` + strings.Repeat("x", 64) + `"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			parse(t, spoil(t, base, c.old, c.new))
		})
	}
}

// spoil replaces the one occurrence of old.
func spoil(t *testing.T, text, old, new string) string {
	t.Helper()
	if old != "" && strings.Count(text, old) != 1 {
		t.Fatalf("%q stands %d times in the file", old, strings.Count(text, old))
	}
	return strings.Replace(text, old, new, 1)
}

func TestParseRefuses(t *testing.T) {
	const keys = "name, idp, jwk_endpoint, client_id, server_api, scope, expiration, claims, token_claims"
	second := func(change ...string) string { // a second rule like the first, but for the change
		first := strings.TrimSuffix(strings.TrimPrefix(base, `{"configs": [`), "]}\n")
		return "}, " + strings.NewReplacer(change...).Replace(first) + "]}\n"
	}
	for _, c := range []struct{ name, old, new, want string }{
		// The file as a whole.
		{"another top key", `{"configs":`, `{"config":`, `line 1, column 2: config: unknown key "config": did you mean "configs"?`},
		{"no rules", base, `{"configs": []}`, `line 1, column 13: configs: there is no rule: nobody would get a token`},
		{"no configs", base, `{}`, `line 1, column 1: configs: the key is missing: want the list of rules`},
		{"an array", base, `[]`, `line 1, column 1: got an array, want an object`},
		{"an empty file", base, ``, `line 1, column 1: the text is empty: want a JSON value`},
		{"ciphertext", base, "\x8d\xe0\x01\xff", `this is no text, want a rule file in JSON: the encrypted form of the original broker must be imported, with its key`},
		{"byte order mark", base, "\xef\xbb\xbf" + base, `line 1, column 1: the text begins with a byte order mark (EF BB BF): save it as UTF-8 without BOM`},
		{"UTF-16", base, "\xff\xfe{\x00\"\x00", `line 1, column 1: the text is UTF-16: save it as UTF-8 without BOM`},
		{"UTF-16, high bytes first", base, "\xfe\xff\x00{\x00\"", `line 1, column 1: the text is UTF-16: save it as UTF-8 without BOM`},
		{"ciphertext that begins like UTF-16", base, "\xff\xfe\x8d\xe0", `this is no text, want a rule file in JSON: the encrypted form of the original broker must be imported, with its key`},
		{"two documents", "}]}\n", "}]}\n{}", `line 12, column 1: the JSON value ends before this: remove what follows`},
		{"a comment", `  "name": "readers",`, `  // who reads`, `line 8, column 3: configs[0]: JSON has no comments: remove it`},
		{"a comma too many", `{"role": "org.role"}`, `{"role": "org.role"},`, `line 10, column 39: configs[0]: a comma before a closing bracket: remove it`},
		{"a rule that is a string", base, `{"configs": ["x"]}`, `line 1, column 14: configs[0]: got a string, want an object`},

		// Keys.
		{"a slip in a key", `"server_api"`, `"server_apis"`, `line 5, column 3: configs[0].server_apis: unknown key "server_apis": did you mean "server_api"?`},
		{"a key in another case", `"scope"`, `"Scope"`, `line 6, column 3: configs[0].Scope: unknown key "Scope": did you mean "scope"?`},
		{"an unknown key", `"name": "readers"`, `"audience_wildcard": true`, `line 8, column 3: configs[0].audience_wildcard: unknown key "audience_wildcard": want one of ` + keys},
		{"a key twice", `"name": "readers"`, `"scope": "admin"`, `line 8, column 3: configs[0].scope: this key appears twice (first on line 6): remove one`},
		{"a slip in a claim", `"value_type"`, `"valuetype"`, `line 9, column 59: configs[0].claims[0].valuetype: unknown key "valuetype": did you mean "value_type"?`},
		{"null", `"readers"`, `null`, `line 8, column 11: configs[0].name: got null: give a value or leave the key out`},

		// idp.
		{"no idp", `  "idp": "https://idp.example/",` + "\n", ``, `line 1, column 14: configs[0].idp: the key is missing: want the issuer, the exact "iss" of its id tokens`},
		{"an empty idp", `"https://idp.example/"`, `""`, `line 2, column 10: configs[0].idp: the string is empty: want an https URL`},
		{"a host for a URL", `"https://idp.example/"`, `"idp.example"`, `line 2, column 10: configs[0].idp: want a URL that begins with https://`},
		{"plain http", `"https://idp.example/"`, `"http://idp.example/"`, `line 2, column 10: configs[0].idp: plain http is for loopback hosts in development alone (localhost, 127.0.0.1, [::1]): want https://`},
		{"http to what looks like localhost", `"https://idp.example/"`, `"http://localhost.evil.example/"`, `line 2, column 10: configs[0].idp: plain http is for loopback hosts in development alone (localhost, 127.0.0.1, [::1]): want https://`},
		{"another scheme", `"https://idp.example/"`, `"file:///etc/keys"`, `line 2, column 10: configs[0].idp: want a URL that begins with https://`},
		{"no host", `"https://idp.example/"`, `"https:///x"`, `line 2, column 10: configs[0].idp: the URL names no host: want https://host/path`},
		{"credentials", `"https://idp.example/"`, `"https://user:s3cret@idp.example/"`, `line 2, column 10: configs[0].idp: the URL holds credentials: remove what stands before the @`},
		{"a fragment", `"https://idp.example/"`, `"https://idp.example/#x"`, `line 2, column 10: configs[0].idp: the URL has a fragment: remove what begins with #`},
		{"an empty fragment", `"https://idp.example/"`, `"https://idp.example/#"`, `line 2, column 10: configs[0].idp: the URL has a fragment: remove what begins with #`},
		{"a query", `"https://idp.example/"`, `"https://idp.example/?"`, `line 2, column 10: configs[0].idp: an issuer has no query: remove what begins with ?`},
		{"a space", `"https://idp.example/"`, `"https://idp.example/ "`, `line 2, column 10: configs[0].idp: a URL holds printable ASCII alone: want spaces and other characters percent-encoded, and the host in punycode`},
		{"a Cyrillic letter", `"https://idp.example/"`, `"https://idр.example/"`, `line 2, column 10: configs[0].idp: a URL holds printable ASCII alone: want spaces and other characters percent-encoded, and the host in punycode`},
		{"a port out of range", `"https://idp.example/"`, `"https://idp.example:65536/"`, `line 2, column 10: configs[0].idp: the port is not one of 1 to 65535`},
		{"a port that is no number", `"https://idp.example/"`, `"https://idp.example:x/"`, `line 2, column 10: configs[0].idp: not a URL: want https://host/path`},
		{"an idp too long", `"https://idp.example/"`, `"https://idp.example/` + strings.Repeat("x", 2048) + `"`, `line 2, column 10: configs[0].idp: got 2068 bytes, want at most 2048`},

		// jwk_endpoint.
		{"an empty endpoint", `"https://idp.example/jwks.json"`, `""`, `line 3, column 19: configs[0].jwk_endpoint: the string is empty: want the URL of the JWKS, or leave the key out for OpenID Connect Discovery`},
		{"an endpoint over http", `"https://idp.example/jwks.json"`, `"http://idp.example/jwks.json"`, `line 3, column 19: configs[0].jwk_endpoint: plain http is for loopback hosts in development alone (localhost, 127.0.0.1, [::1]): want https://`},
		{"another endpoint of the same idp", "}]}\n", second("readers", "writers", "jwks.json", "keys.json"),
			`line 13, column 19: configs[1].jwk_endpoint: writers and readers name the same idp, but the endpoint https://idp.example/keys.json and the endpoint https://idp.example/jwks.json: want the same in both`},
		{"an endpoint in one rule, discovery in the other", "}]}\n", second("readers", "writers", `  "jwk_endpoint": "https://idp.example/jwks.json",`+"\n", ""),
			`line 11, column 4: configs[1].jwk_endpoint: writers and readers name the same idp, but none (discovery) and the endpoint https://idp.example/jwks.json: want the same in both`},

		// client_id.
		{"no client", `  "client_id": "app",` + "\n", ``, `line 1, column 14: configs[0].client_id: the key is missing: want the client id that the identity provider knows`},
		{"an empty client", `"app"`, `""`, `line 4, column 16: configs[0].client_id: the string is empty: want a value`},
		{"a client with a space behind", `"app"`, `"app "`, `line 4, column 16: configs[0].client_id: white space at the start or the end: remove it, strings are compared exactly`},
		{"a client with an invisible character", `"app"`, `"a\u200bpp"`, `line 4, column 16: configs[0].client_id: a character that cannot be seen: remove it, strings are compared exactly`},
		{"a list of clients", `"app"`, `["app"]`, `line 4, column 16: configs[0].client_id: got an array, want a string`},
		{"a client too long", `"app"`, `"` + strings.Repeat("x", 513) + `"`, `line 4, column 16: configs[0].client_id: got 513 bytes, want at most 512`},

		// server_api.
		{"no audiences", `  "server_api": ["https://api.example/one", "https://api.example/two"],` + "\n", ``, `line 1, column 14: configs[0].server_api: the key is missing: want the list of the access token's audiences`},
		{"an empty list of audiences", `["https://api.example/one", "https://api.example/two"]`, `[]`, `line 5, column 17: configs[0].server_api: the list is empty: want at least one audience`},
		{"an empty audience", `"https://api.example/two"`, `""`, `line 5, column 45: configs[0].server_api[1]: the string is empty: want a value`},
		{"an audience twice", `"https://api.example/two"`, `"https://api.example/one"`, `line 5, column 45: configs[0].server_api[1]: the same audience stands at index 0: remove one`},
		{"an audience for a list", `["https://api.example/one", "https://api.example/two"]`, `"https://api.example/one"`, `line 5, column 17: configs[0].server_api: got a string, want an array`},
		{"too many audiences", `["https://api.example/one", "https://api.example/two"]`, `["x"` + strings.Repeat(`,"x"`, 100) + `]`, `line 5, column 17: configs[0].server_api: got 101 audiences, want at most 100`},

		// scope.
		{"no scope key", `  "scope": "openid read",` + "\n", ``, `line 1, column 14: configs[0].scope: the key is missing: want the scope, which may be ""`},
		{"a scope twice", `"openid read"`, `"read openid read"`, `line 6, column 12: configs[0].scope: the scope "read" stands there twice: remove one`},
		{"a comma in a scope's place", `"openid read"`, `"openid\tread"`, `line 6, column 12: configs[0].scope: "openid\tread" is no scope: want printable ASCII without " and \, separated by spaces (RFC 6749 section 3.3)`},
		{"a list of scopes", `"openid read"`, `["openid"]`, `line 6, column 12: configs[0].scope: got an array, want a string`},
		{"a scope too long", `"openid read"`, `"` + strings.Repeat("x", 4097) + `"`, `line 6, column 12: configs[0].scope: got 4097 bytes, want at most 4096`},

		// expiration.
		{"no expiration", `  "expiration": 3600,` + "\n", ``, `line 1, column 14: configs[0].expiration: the key is missing: want the access token's lifetime in seconds`},
		{"zero", `3600`, `0`, `line 7, column 17: configs[0].expiration: got 0, want 1 to 86400 seconds`},
		{"negative", `3600`, `-1`, `line 7, column 17: configs[0].expiration: got -1, want 1 to 86400 seconds`},
		{"more than a day", `3600`, `86401`, `line 7, column 17: configs[0].expiration: got 86401, want 1 to 86400 seconds`},
		{"nanoseconds past 2^63", `3600`, `9223372036854775807`, `line 7, column 17: configs[0].expiration: got 9223372036854775807, want 1 to 86400 seconds`},
		{"a string", `3600`, `"3600"`, `line 7, column 17: configs[0].expiration: got a string, want a whole number that fits 64 bits`},
		{"a fraction", `3600`, `3600.5`, `line 7, column 17: configs[0].expiration: got 3600.5, want a whole number that fits 64 bits`},

		// name.
		{"an empty name", `"readers"`, `""`, `line 8, column 11: configs[0].name: the string is empty: want a value`},
		{"a name with a line break", `"readers"`, `"rea\nders"`, `line 8, column 11: configs[0].name: a character that cannot be seen: remove it, strings are compared exactly`},
		{"a name like a place", `"readers"`, `"configs[1]"`, `line 8, column 11: configs[0].name: a name must not look like the place of a rule: want another`},
		{"a name twice", "}]}\n", second(), `line 18, column 11: configs[1].name: configs[0] has this name already: want another`},
		{"a name too long", `"readers"`, `"` + strings.Repeat("x", 65) + `"`, `line 8, column 11: configs[0].name: got 65 bytes, want at most 64`},

		// claims.
		{"a claim without a name", `"name": "email_verified", `, ``, `line 9, column 14: configs[0].claims[0]: a claim rule has either a name or a path`},
		{"a value of another type", `[true]`, `["true"]`, `line 9, column 14: configs[0].claims[0]: claim "email_verified": values[0] is a string, want bool`},
		{"an unknown value type", `"bool"`, `"regexp"`, `line 9, column 73: configs[0].claims[0].value_type: value_type is "regexp", want one of [string int number bool string_array scope]`},
		{"a value too long", `[true], "value_type": "bool"`, `["` + strings.Repeat("x", 1025) + `"]`, `line 9, column 14: configs[0].claims[0]: a string of more than 1024 bytes`},
		{"too many values", `[true]`, `[true` + strings.Repeat(",true", 1000) + `]`, `line 9, column 51: configs[0].claims[0].values: got 1001 values, want at most 1000`},
		{"too many claims", `"bool"}]`, `"bool"}` + strings.Repeat(`,{"name":"x"}`, 32) + `]`, `line 9, column 13: configs[0].claims: got 33 claims, want at most 32`},
		{"an integer with too many digits", `[true]`, `[99999999999999999999]`, `line 9, column 52: configs[0].claims[0].values[0]: the number has more digits than can be held exactly`},

		// token_claims.
		{"the subject", `{"role":`, `{"sub":`, `line 10, column 27: configs[0].token_claims.sub: "sub" is the broker's own to set: want another name`},
		{"the audience in another case", `{"role":`, `{"AUD":`, `line 10, column 27: configs[0].token_claims.AUD: "aud" is the broker's own to set: want another name`},
		{"the issuer with a long s", `{"role":`, `{"iſs":`, `line 10, column 27: configs[0].token_claims["iſs"]: "iss" is the broker's own to set: want another name`},
		{"a nameless token claim", `{"role":`, `{"":`, `line 10, column 24: configs[0].token_claims[""]: the string is empty: want a value`},
		{"names that differ in case", `{"role":`, `{"Role": "x", "role":`, `line 10, column 41: configs[0].token_claims.role: differs from "Role" in case alone: want another name`},
		{"a path with an empty step", `"org.role"`, `"org..role"`, `line 10, column 28: configs[0].token_claims.role: the string is empty: want a value`},
		{"an empty path", `"org.role"`, `[]`, `line 10, column 28: configs[0].token_claims.role: the path is empty: want the claim's name`},
		{"a path that is a number", `"org.role"`, `7`, `line 10, column 28: configs[0].token_claims.role: want the claim's path in the subject token: "org.role" or ["org", "role"]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := rules.Parse([]byte(spoil(t, base, c.old, c.new)))
			if err == nil || s != nil {
				t.Fatalf("got %v, %v, want an error", s, err)
			}
			if err.Error() != c.want {
				t.Errorf("\n got %s\nwant %s", err, c.want)
			}
		})
	}
}

func TestParseReservesTheBrokersClaims(t *testing.T) {
	for _, name := range []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "typ", "client_id", "scope", "scp", "cnf",
		"simulated", "Simulated", "idp", "act", "may_act", "azp", "authorization_details", "sub_id", "events", "nonce", "at_hash", "c_hash", "s_hash"} {
		if _, err := rules.Parse([]byte(spoil(t, base, `"role":`, `"`+name+`":`))); err == nil {
			t.Errorf("token_claims may not set %s", name)
		}
	}
	for _, name := range []string{"roles", "groups", "entitlements", "acr", "amr", "auth_time", "email", "https://example.com/sub"} {
		if _, err := rules.Parse([]byte(spoil(t, base, `"role":`, `"`+name+`":`))); err != nil {
			t.Errorf("token_claims may set %s: %v", name, err)
		}
	}
}

func TestParseReportsAllFaults(t *testing.T) {
	_, err := rules.Parse([]byte("{\"configs\": [{\n\"idp\": \"http://idp.example\",\n\"client_id\": \"app\",\n\"scope\": \"\",\n\"expiration\": 0}]}"))
	want := "line 2, column 8: configs[0].idp: plain http is for loopback hosts in development alone (localhost, 127.0.0.1, [::1]): want https://\n" +
		"line 1, column 14: configs[0].server_api: the key is missing: want the list of the access token's audiences\n" +
		"line 5, column 15: configs[0].expiration: got 0, want 1 to 86400 seconds"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}

	_, err = rules.Parse([]byte(`{"configs": [` + strings.Repeat(`{},`, 999) + `{}]}`))
	if err == nil || strings.Count(err.Error(), "\n") != 20 || !strings.HasSuffix(err.Error(), "\nand more") {
		t.Errorf("got %v, want 20 faults", err)
	}
}

func TestParseIsBounded(t *testing.T) {
	rule := `{"idp":"https://idp.example/","client_id":"%d","server_api":["x"],"scope":"","expiration":1}`
	file := func(n int) []byte {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf(rule, i))
		}
		return []byte(`{"configs":[` + strings.Join(list, ",") + `]}`)
	}
	if s, err := rules.Parse(file(rules.MaxRules)); err != nil || s.Len() != rules.MaxRules {
		t.Errorf("got %v for the largest number of rules", err)
	}
	want := "line 1, column 12: configs: got 1001 rules, want at most 1000"
	if _, err := rules.Parse(file(rules.MaxRules + 1)); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	full := base + strings.Repeat(" ", rules.MaxFile-len(base))
	if _, err := rules.Parse([]byte(full)); err != nil {
		t.Errorf("got %v for the largest file", err)
	}
	want = "the rule file has 1048577 bytes, want at most 1048576"
	if _, err := rules.Parse([]byte(full + " ")); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// An error is read in logs: credentials that someone put into a URL are not in it.
func TestParseErrorsKeepCredentials(t *testing.T) {
	for _, bad := range []string{`https://u:s3cret@idp.example/`, `http://u:s3cret@idp.example/`, `https://u:s3cret@[bad/`, `https://u:s3cret @x/`} {
		_, err := rules.Parse([]byte(spoil(t, base, `https://idp.example/"`, bad+`"`)))
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: got %v", bad, err)
		}
	}
	const rule = `{"idp": "https://idp.example/", "jwk_endpoint": "https://%sidp.example/", "client_id": "app", "server_api": ["x"], "scope": "", "expiration": 1}`
	_, err := rules.Parse([]byte(`{"configs": [` + fmt.Sprintf(rule, "u:s3cret@") + `,` + fmt.Sprintf(rule, "") + `]}`))
	if err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("two endpoints: got %v", err)
	}
}

func TestIssuersAreNamedOnce(t *testing.T) {
	s := parse(t, `{"configs": [
		{"idp": "https://b.example/", "client_id": "1", "server_api": ["x"], "scope": "", "expiration": 60},
		{"idp": "https://a.example", "jwk_endpoint": "https://keys.example/a", "client_id": "1", "server_api": ["x"], "scope": "", "expiration": 60},
		{"idp": "https://b.example/", "client_id": "2", "server_api": ["x"], "scope": "", "expiration": 60}]}`)
	want := []rules.Issuer{{URL: "https://b.example/"}, {URL: "https://a.example", JWKSURL: "https://keys.example/a"}}
	if got := s.Issuers(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
