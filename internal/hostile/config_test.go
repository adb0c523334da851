package hostile

import (
	"strings"
	"testing"
)

func brokerConfigs(w *world) *table[string] {
	const good = "issuer: https://127.0.0.1\nlisten: 127.0.0.1:0\ntee: simulated\nrules: rules.json\n"
	more := func(text string) string { return good + text + "\n" }
	with := func(old, new string) string {
		if strings.Count(good, old) != 1 {
			panic(old)
		}
		return strings.Replace(good, old, new, 1)
	}
	faults := []fault[string]{
		{"nothing", "", "the file is empty", nil},
		{"a list", "- issuer\n", "broker.yaml:1:1: ", nil},
		{"a tab for a space", "limits:\n\tconnections: 1\n", "broker.yaml:2:", nil},
		{"NUL bytes", "\x00\x00", "broker.yaml", nil},
		{"two documents", more("---\nissuer: https://mallory.example"), "more than one document", nil},
		{"an unknown key", more("isuer: x"), `broker.yaml:5:1: unknown field "isuer"`, nil},
		{"a key twice", more("issuer: https://mallory.example"), "broker.yaml:5:1: ", nil},
		{"aliases that multiply", more("x: &a [" + strings.Repeat("1,", 100) + "1]\ny: [" + strings.Repeat("*a,", 100) + "*a]"), "unknown field", nil},
		{"nested deeply", more("limits: " + strings.Repeat("[", 3000)), "broker.yaml", nil},
		{"over 1 MiB", more("# " + strings.Repeat("x", 1<<20)), "want a file of that size at most", nil},
		{"no issuer", with("issuer: https://127.0.0.1\n", ""), "issuer: missing", nil},
		{"an issuer over http", with("https://", "http://"), "want an https URL", nil},
		{"an issuer with a password", with("https://", "https://admin:s3cret@"), "want an https URL", nil},
		{"an issuer with a query", with("127.0.0.1\n", "127.0.0.1/?x\n"), "want an https URL", nil},
		{"a port alone", with("127.0.0.1:0", `"8443"`), "broker.yaml:2:9: listen: ", nil},
		{"a TEE that is none", with("simulated", "trustzone"), "broker.yaml:3:6: tee: ", nil},
		{"a seed for a genuine TEE", with("tee: simulated", "tee: tdx\nsimulated: {seed_file: tls.key}"), "it is for tee: simulated alone", nil},
		{"no rules", with("rules: rules.json\n", ""), "rules: missing", nil},
		{"rules that are not there", with("rules.json", "nowhere.json"), "nowhere.json", nil},
		{"rules that are a folder", with("rules.json", "."), "is a directory", nil},
		{"rules that are no rules", with("rules.json", "broker.yaml"), "rules: ", nil},
		{"an algorithm of HMAC", more("signing: {alg: HS256}"), `signing.alg: got "HS256"`, nil},
		{"no algorithm at all", more("signing: {alg: none}"), `signing.alg: got "none"`, nil},
		{"a rotation of a second", more("signing: {rotate_every: 1s}"), "signing.rotate_every: got", nil},
		{"a rotation without a unit", more("signing: {rotate_every: 24}"), "want a duration", nil},
		{"an endless rotation", more("signing: {rotate_every: 1000000h}"), "signing.rotate_every: got", nil},
		{"a certificate without its key", more("tls: {certificate: tls.pem}"), "certificate and key belong together", nil},
		{"a key for a certificate", more("tls: {certificate: tls.key, key: tls.pem}"), "tls.certificate: ", nil},
		{"a CA whose terms nobody accepts", more("tls: {acme: {contact: ops@example.com}}"), "tls.acme.accept_terms: want true", nil},
		{"a CA over http", more(`tls: {acme: {accept_terms: true, directory: "http://ca.example/?key=s3cret"}}`), `tls.acme.directory: got "http://ca.example/"`, nil},
		{"a CA for an address", more("tls: {acme: {accept_terms: true}}"), "tls.acme: 127.0.0.1 is an IP address", nil},
		{"a CA beside a key", more("tls: {certificate: tls.pem, key: tls.key, acme: {accept_terms: true}}"), "tls.acme: there are certificate and key already", nil},
		{"a state directory that is a file", more("state_dir: rules.json"), "state_dir: ", nil},
		{"probes at a port alone", more(`admin: {listen: "8081"}`), "admin.listen: got ", nil},
		{"no connections", more("limits: {connections: -1}"), "limits.connections: got -1", nil},
		{"headers without a bound", more("limits: {header_bytes: 999999999}"), "limits.header_bytes", nil},
		{"a request without a bound", more("limits: {request_time: 24h}"), "limits.request_time", nil},
		{"a compatibility with others", more("compatibility: dex"), "compatibility: got", nil},
		{"encrypted rules without integrity", with("rules: rules.json", "rules_encrypted: {file: rules.json}"), "needs compatibility: original", nil},
		{"a key for rules in the file", with("rules: rules.json", "compatibility: original\nrules_encrypted: {file: rules.json, key: 00112233445566778899aabbccddeeff}"), "unknown field", nil},
		{"rules under a key of zeros", with("rules: rules.json", "compatibility: original\nrules_encrypted: {file: rules.json, key_env: ZEROS, iv_env: ZEROS}"), "rules: ", nil},
	}
	return &table[string]{
		kind: "broker configuration", good: good, faults: faults,
		secret: func(string) []string { return []string{"s3cret", "00112233445566778899aabbccddeeff"} },
		doors: []door[string]{
			{name: "ctb-broker -check", open: func(t *testing.T, text string) answer {
				return call(t, nil, exits{1}, "ctb-broker", "-check", "-config", w.beside(t, "broker.yaml", []byte(text), "rules.json", "tls.pem", "tls.key"))
			}},
			{name: "ctb-broker", open: func(t *testing.T, text string) answer {
				return runs(t, start(t, "ctb-broker", "-config", w.beside(t, "broker.yaml", []byte(text), "rules.json", "tls.pem", "tls.key")), "the broker serves")
			}},
		},
	}
}

// runs tells whether a server begins to serve.
func runs(t *testing.T, s *server, words string) answer {
	t.Helper()
	_, ok := s.address(t, words)
	if log := s.stop(); !ok {
		if code := s.command.ProcessState.ExitCode(); code != 1 {
			t.Errorf("got exit code %d, want 1: %s", code, clip(log))
		}
		return answer{text: log}
	}
	return answer{accepted: true}
}

func gatewayConfigs(w *world) *table[string] {
	good := w.gatewayText(w.files.once(w.jwks))
	with := func(old, new string) string {
		if strings.Count(good, old) != 1 {
			panic(old)
		}
		return strings.Replace(good, old, new, 1)
	}
	broker := good[strings.Index(good, "    broker: "):strings.Index(good, "    issuer: ")] // and ca_path
	keys := func(text string) string { return strings.Replace(good, broker, text, 1) }
	faults := []fault[string]{
		{"nothing", "", "the file is empty", nil},
		{"a list", "- upstream\n", "gateway.yaml:1:1: ", nil},
		{"a text", "let everything through", "gateway.yaml:1:1: ", nil},
		{"a tab for a space", "authorization:\n\tjwt: {}\n", "gateway.yaml:2:", nil},
		{"two documents", good + "---\nupstream: http://mallory.example\n", "more than one document", nil},
		{"an unknown key", good + "upstrem: x\n", `unknown field "upstrem"`, nil},
		{"an unknown key within", with("ca_path", "ca_paht"), `unknown field "ca_paht"`, nil},
		{"a key twice", good + "listen: 0.0.0.0:1\n", "gateway.yaml:", nil},
		{"nested deeply", good + "x: " + strings.Repeat("[", 3000), "gateway.yaml", nil},
		{"over 1 MiB", good + "# " + strings.Repeat("x", 1<<20), "want a file of that size at most", nil},
		{"no authorization", good[:strings.Index(good, "authorization:")], "authorization: missing", nil},
		{"authorization switched somewhere", strings.Replace(good, "authorization:\n", "authorization:\n  enabled: perhaps\n", 1), "authorization.enabled: got text, want true or false", nil},
		{"authorization of null", good[:strings.Index(good, "authorization:")] + "authorization: null\n", "authorization: is empty", nil},
		{"no upstream", with("upstream: ", "# upstream: "), "upstream: missing", nil},
		{"an upstream with a password", with("upstream: http://", "upstream: http://admin:s3cret@"), "upstream: got", nil},
		{"an upstream of files", with("upstream: http://", "upstream: file://"), "upstream: got", nil},
		{"a port alone", with("127.0.0.1:0", `"9999"`), "listen: got", nil},
		{"a certificate alone", with(", key: tls.key", ""), "tls: want both", nil},
		{"a key for a certificate", with("certificate: tls.pem, key: tls.key", "certificate: tls.key, key: tls.pem"), ": tls: ", nil},
		{"no keys", keys(""), "exactly one of public_key_pem_path", nil},
		{"keys of two kinds", keys("    jwks_path: jwks.json\n    public_key_pem_path: tls.pem\n"), "exactly one of public_key_pem_path", nil},
		{"keys over http", keys("    jwks_url: http://idp.example/jwks\n"), "want an https URL", nil},
		{"keys that look like loopback", keys("    jwks_url: http://127.0.0.1.mallory.example/jwks\n"), "want an https URL", nil},
		{"keys with a password", keys("    jwks_url: https://admin:s3cret@idp.example/jwks\n"), "jwks_url: got", nil},
		{"a broker with a password", with("url: \"https://", "url: \"https://admin:s3cret@"), "broker.url: got", nil},
		{"a private key for the public one", keys("    public_key_pem_path: tls.key\n"), "authorization.jwt.public_key_pem_path: ", nil},
		{"a key for HMAC", keys("    public_key_pem_path: tls.pem\n    algorithm: HS256\n"), "algorithm: got", nil},
		{"a key for another algorithm", keys("    public_key_pem_path: tls.pem\n    algorithm: RS256\n"), "RS256", nil},
		{"a key set that is none", keys("    jwks_path: policy.yaml\n"), "JWK set: ", nil},
		{"a broker without a policy", with("policy: policy.yaml, ", ""), "policy: missing", nil},
		{"a broker trusted by nothing", with("collateral: collateral.json}", "collateral: collateral.json, tls: none}"), "tls: got", nil},
		{"CAs that are none", with("ca_path: tls.pem", "ca_path: policy.yaml"), "got no certificate", nil},
		{"no issuer", with("    issuer: ", "    # issuer: "), "issuer: missing", nil},
		{"no audience", with("    audience: ", "    # audience: "), "audience: missing", nil},
		{"a type of any kind", good + "    type: '*'\n", "type: got", nil},
		{"a scope of two", good + "    scopes: ['read write']\n", "want one scope", nil},
		{"a claim of no type", good + "    claims: [{name: x, values: [y], value_type: regexp}]\n", "value_type", nil},
		{"a claim without a name", good + "    claims: [{values: [y]}]\n", "either a name or a path", nil},
	}
	return &table[string]{
		kind: "gateway configuration", good: good, faults: faults,
		secret: func(string) []string { return []string{"s3cret"} },
		doors: []door[string]{
			{name: "ctb-gateway -check", open: func(t *testing.T, text string) answer {
				return call(t, nil, exits{1}, "ctb-gateway", "-check", "-config", w.beside(t, "gateway.yaml", []byte(text), gatewayFiles...))
			}},
			{name: "ctb-gateway", open: func(t *testing.T, text string) answer {
				return runs(t, start(t, "ctb-gateway", "-config", w.beside(t, "gateway.yaml", []byte(text), gatewayFiles...)), `"msg":"listening"`)
			}},
		},
	}
}
