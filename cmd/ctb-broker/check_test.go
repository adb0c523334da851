package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// -check says no to what could not start, and where in the file the reason is.
func TestCheckReadsWhatTheStartReads(t *testing.T) {
	withSimulated(t)
	const rest = "rules: rules.json\ntee: simulated\n"
	for name, c := range map[string]struct{ text, says string }{
		"a good one":               {"issuer: https://x\n" + rest + "simulated: {seed_file: seed}\naudit: {file: audit.jsonl}\n", ""},
		"no issuer":                {rest, "broker.yaml: issuer: missing"},
		"an issuer without a host": {"issuer: https://:8080\n" + rest, `broker.yaml:1:9: issuer: got "https://:8080"`},
		"an unknown algorithm":     {"issuer: https://x\n" + rest + "signing: {alg: HS256}\n", "broker.yaml:4:16: signing.alg: got \"HS256\""},
		"a fast rotation":          {"issuer: https://x\n" + rest + "signing: {rotate_every: 1m}\n", "broker.yaml:4:25: signing.rotate_every: got 1m0s"},
		"a name that is none":      {"issuer: https://x\n" + rest + "tls: {names: [a b]}\n", `tls.names: got "a b"`},
		"no certificate":           {"issuer: https://x\n" + rest + "tls: {certificate: absent.pem, key: absent.pem}\n", "broker.yaml:4:"},
		"no CA of the ACME server": {"issuer: https://broker.example.com\n" + rest + "tls: {acme: {accept_terms: true, ca_path: absent.pem}}\n",
			"broker.yaml:4:43: tls.acme.ca_path: open "},
		"junk for that CA": {"issuer: https://broker.example.com\n" + rest + "tls: {acme: {accept_terms: true, ca_path: rules.json}}\n",
			"rules.json: got no certificate, want PEM blocks of CERTIFICATE"},
		"a state directory":                {"issuer: https://x\n" + rest + "state_dir: state\n", ""},
		"a state directory that is a file": {"issuer: https://x\n" + rest + "state_dir: rules.json\n", "broker.yaml:4:12: state_dir: "},
		"a state directory without parent": {"issuer: https://x\n" + rest + "state_dir: absent/state\n", "broker.yaml:4:12: state_dir: there is no directory "},
		"no seed":                          {"issuer: https://x\n" + rest + "simulated: {seed_file: absent}\n", "broker.yaml:4:24: simulated.seed_file: "},
		"a short seed":                     {"issuer: https://x\n" + rest + "simulated: {seed_file: loose.jsonl}\n", "got 0 bytes, want 32 or more"},
		"no collateral":                    {"issuer: https://x\n" + rest + "collateral: absent.json\n", "broker.yaml:4:13: collateral: "},
		"junk for collateral":              {"issuer: https://x\n" + rest + "collateral: {file: rules.json}\n", "broker.yaml:4:13: collateral: "},
		"no API key":                       {"issuer: https://x\n" + rest + "collateral: {pcs: intel, api_key_file: absent}\n", "broker.yaml:4:13: collateral: API key: "},
		"a service at http":                {"issuer: https://x\n" + rest + "collateral: {pcs: \"http://pccs.example.com/\"}\n", "broker.yaml:4:"},
		"no directory of the audit": {"issuer: https://x\n" + rest + "audit: {file: absent/audit.jsonl}\n",
			"broker.yaml:4:15: audit.file: there is no directory "},
		"an audit that is a directory": {"issuer: https://x\n" + rest + "audit: {file: .}\n", "broker.yaml:4:15: audit.file: "},
		"an audit that others read":    {"issuer: https://x\n" + rest + "audit: {file: loose.jsonl}\n", "others than its owner may use it (mode 0644)"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range map[string]string{
				"broker.yaml": c.text, "rules.json": rulesFor("https://idp.example.com/jwks", "one"), "seed": strings.Repeat("s", minSeed), "loose.jsonl": "",
			} {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Chmod(filepath.Join(dir, "loose.jsonl"), 0o644); err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			code := run(t.Context(), nil, []string{"-config", filepath.Join(dir, "broker.yaml"), "-check"}, &out, &out)
			good := c.says == "" || strings.Contains(c.says, "others than")
			if good != (code == exitOK) || !strings.Contains(out.String(), c.says) {
				t.Errorf("got %d, want … %s:\n%s", code, c.says, out.String())
			}
			for _, made := range []string{"audit.jsonl", "state"} {
				if _, err := os.Stat(filepath.Join(dir, made)); err == nil {
					t.Errorf("the check made %s", made)
				}
			}
		})
	}
}

// -check says in words who vouches for the TLS key, what is kept, and who else is listened to.
func TestCheckTellsOfDoors(t *testing.T) {
	withSimulated(t)
	for text, says := range map[string][]string{
		"": {"warning        state_dir: there is none: after a restart", "state          none is kept\n"},
		"state_dir: kept\nadmin: {listen: \"127.0.0.1:8081\"}\n": {
			"/kept\n", "admin          127.0.0.1:8081, plain HTTP: /healthz and /readyz alone\n",
		},
		"tls: {names: [sts.example.com], acme: {accept_terms: true}}\n": {
			"and beside it a certificate of the CA at https://acme-v02.api.letsencrypt.org/directory for broker.example.com, sts.example.com, of a key",
		},
		"tls: {certificate: tls.pem, key: key.pem}\n": {"clients with a policy refuse this broker"},
	} {
		dir := t.TempDir()
		pair, key := selfSigned(t)
		for file, text := range map[string]string{
			"broker.yaml": goodConfig + text, "rules.json": rulesFor("https://idp.example.com/jwks", "one"), "tls.pem": pair, "key.pem": key,
		} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var out strings.Builder
		code := run(t.Context(), nil, []string{"-config", filepath.Join(dir, "broker.yaml"), "-check"}, &out, &out)
		for _, words := range says {
			if code != exitOK || !strings.Contains(out.String(), words) {
				t.Errorf("%s: got %d, want … %s:\n%s", text, code, words, out.String())
			}
		}
	}
}

// -check says in words where the collateral that is served comes from, and makes nothing.
func TestCheckTellsOfCollateral(t *testing.T) {
	withSimulated(t)
	for text, says := range map[string][]string{
		"": {"collateral     what comes with the evidence is served beside it"},
		"collateral: {pcs: intel, update: early, cache: kept}\n": {"collateral     from Intel's collateral service (update channel early), kept in ", "/kept; served"},
		"collateral: {pcs: qcnl.conf, cache: kept}\n":            {"qcnl.conf names, kept in ", "warning        collateral: ", "use_secure_cert is false"},
		"collateral: {pcs: \"https://pccs.example.com/\"}\n":     {"the collateral service at https://pccs.example.com/; served"},
	} {
		dir := t.TempDir()
		for file, text := range map[string]string{
			"broker.yaml": goodConfig + text, "rules.json": rulesFor("https://idp.example.com/jwks", "one"),
			"qcnl.conf": `{"pccs_url": "https://localhost:8081/sgx/certification/v4/", "use_secure_cert": false}`,
		} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var out strings.Builder
		code := run(t.Context(), nil, []string{"-config", filepath.Join(dir, "broker.yaml"), "-check"}, &out, &out)
		for _, words := range says {
			if code != exitOK || !strings.Contains(out.String(), words) {
				t.Errorf("%s: got %d, want … %s:\n%s", text, code, words, out.String())
			}
		}
		if _, err := os.Stat(filepath.Join(dir, "kept")); err == nil {
			t.Errorf("%s: the check made the cache", text)
		}
	}
}

// Whoever sets the environment has no tokens written to the log.
func TestNoHTTP2Debug(t *testing.T) {
	t.Setenv("GODEBUG", "asyncpreemptoff=1,http2debug=2")
	var out strings.Builder
	if code := run(t.Context(), nil, []string{"-config", "../../deploy/broker.example.yaml", "-check"}, &out, &out); code != exitError || !strings.Contains(out.String(), "GODEBUG: http2debug") {
		t.Errorf("got %d: %s", code, &out)
	}
}
