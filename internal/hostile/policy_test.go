package hostile

import (
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/ctbtest"
)

// policies are files that would accept what nobody meant, or mean nothing.
func policies(w *world) *table[[]byte] {
	good := w.policyText()
	more := func(text string) []byte { return []byte(good + text + "\n") }
	with := func(old, new string) []byte {
		if strings.Count(good, old) != 1 {
			panic(old + " does not stand once in the policy")
		}
		return []byte(strings.Replace(good, old, new, 1))
	}
	build := func(text string) []byte { return []byte("builds: [" + text + "]\nsimulated_root: root.pem\n") }
	file := but{"attest.ParsePolicy": accepts} // it opens no file
	const hex32 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	faults := []fault[[]byte]{
		// The text.
		{"a space", []byte(" "), "the file is empty", nil},
		{"null", []byte("null"), "want keys and values", nil},
		{"a list", []byte("- tee: sgx\n"), "want keys and values", nil},
		{"a text", []byte("accept everything"), "want keys and values", nil},
		{"a web page", []byte("<html><body>x: y</body></html>"), "not a key of a policy", nil},
		{"NUL bytes", []byte("builds: \x00\x00"), "want a list", nil},
		{"a tab for a space", []byte("builds:\n\t- tee: sgx\n"), "line ", nil},
		{"a bracket open", []byte("builds: [{tee: sgx"), "line 1", nil},
		{"a second document", more("---\nissuer: https://mallory.example"), "a second document", nil},
		{"an alias", more("x: &x 1\ny: *x"), "aliases", nil},
		{"aliases that multiply", []byte("a: &a [1,1]\nb: &b [*a,*a]\nc: &c [*b,*b]\nbuilds: [*c,*c]\n"), "aliases", nil},
		{"a merge key", with("  - tee: sgx\n", "  - <<: {debug: true}\n    tee: sgx\n"), "merge keys", nil},
		{"a tag", with("tee: sgx", "tee: !!binary c2d4"), `"!!binary" is not read`, nil},
		{"nested deeply", []byte("builds: " + strings.Repeat("[", 5000)), "nested too deeply", nil},
		{"over 1 MiB", more("# " + strings.Repeat("x", 1<<20)), "1048576", nil},

		// Keys.
		{"an unknown key", more("accept_anything: true"), "not a key of a policy", nil},
		{"a key of another case", more("Scheme: dice"), "not a key of a policy", nil},
		{"a key twice", more("issuer: https://mallory.example"), "issuer", nil},
		{"an unknown key of a build", with("tee: sgx", "tee: sgx\n    mrencalve: "+hex32), "not a key of a policy", nil},

		// Values that would accept too much, or nothing.
		{"no build", []byte("builds: []\n"), "no build is named", nil},
		{"every build", build("{tee: sgx}"), "too many enclaves would match", nil},
		{"a signer alone", build("{tee: sgx, mrsigner: " + hex32 + "}"), "too many enclaves would match", nil},
		{"every guest", build("{tee: tdx}"), "any tdx guest would match", nil},
		{"a TEE that is none", build("{tee: trustzone, mrenclave: " + hex32 + "}"), "want sgx, tdx, sev-snp or nitro", nil},
		{"a measurement of another TEE", build("{tee: tdx, mrenclave: " + hex32 + "}"), "is of sgx, and this build is of tdx", nil},
		{"a short measurement", build("{tee: sgx, mrenclave: " + hex32[2:] + "}"), "got 31 bytes, want 32", nil},
		{"a measurement with 0x", build("{tee: sgx, mrenclave: 0x" + hex32 + "}"), "without the 0x", nil},
		{"a measurement of other letters", build("{tee: sgx, mrenclave: " + hex32[2:] + "zz}"), "want hex digits", nil},
		{"a list of measurements", build("{tee: sgx, mrenclave: [" + hex32 + "]}"), "want hex digits", nil},
		{"debug as a text", build("{tee: sgx, mrenclave: " + hex32 + `, debug: "no"}`), "want true or false", nil},
		{"a negative version", build("{tee: sgx, mrsigner: " + hex32 + ", isvprodid: 1, isvsvn: -1}"), "want a number from 0 to 65535", nil},
		{"a version of 17 bits", build("{tee: sgx, mrsigner: " + hex32 + ", isvprodid: 1, isvsvn: 65536}"), "want a number from 0 to 65535", nil},
		{"revoked platforms", more("tcb: {accept: [Revoked]}"), "a revoked platform can't be accepted", nil},
		{"a status that is none", more("tcb: {accept: [Fine]}"), `got "Fine", want one of`, nil},
		{"no status", more("tcb: {accept: []}"), "tcb.accept: is empty", nil},
		{"a digest without its name", with(`"sha256:`, `"`), "rules[0]", nil},
		{"a digest of MD5", with(`"sha256:`, `"md5:`), "rules[0]", nil},
		{"no rules at all", with("rules: [", "rules: []\n# ["), "rules: is empty", nil},
		{"an issuer that is no URL", with("issuer: "+issuer, "issuer: mallory"), "want a URL", nil},
		{"an issuer with a password", with("issuer: "+issuer, "issuer: 'https://admin:s3cret@'"), "want a URL", nil},
		{"a scheme that is none", more("scheme: any"), `want dice or original`, nil},
		{"the original's scheme with rules", more("scheme: original"), "binds no", nil},

		// Files that it names.
		{"a root that is not there", with("root.pem", "nowhere.pem"), "nowhere.pem", file},
		{"a root that is a folder", with("root.pem", "/"), "simulated_root", file},
		{"a root that is no certificate", with("root.pem", "jwks.json"), "not a certificate", file},
	}
	return &table[[]byte]{kind: "policy", good: []byte(good), faults: faults, doors: policyDoors(w),
		secret: func([]byte) []string { return []string{"s3cret"} }}
}

func policyDoors(w *world) []door[[]byte] {
	beside := func(t *testing.T, text []byte) string {
		return w.beside(t, "policy.yaml", text, "root.pem", "jwks.json", "tls.pem", "tls.key", "collateral.json")
	}
	good := leaf{w.certify(w.platform, w.key, w.binding(attest.UseTLS)).Raw, w.key}
	return []door[[]byte]{
		{name: "attest.ParsePolicy", open: func(t *testing.T, text []byte) answer {
			_, err := attest.ParsePolicy(text)
			return of(err)
		}},
		{name: "ctb inspect --policy", open: func(t *testing.T, text []byte) answer {
			return call(t, nil, exits{2}, "ctb", "inspect", w.path("cert.der"), "--policy", beside(t, text), "--collateral", w.path("collateral.json"))
		}},
		{name: "ctb verify --policy", open: func(t *testing.T, text []byte) answer {
			return call(t, []byte(w.token()), exits{2}, "ctb", "verify", "-", "--jwks", w.path("jwks.json"), "--issuer", issuer, "--audience", ctbtest.Audience,
				"--policy", beside(t, text), "--collateral", w.path("collateral.json"))
		}},
		{name: "ctb exchange --policy", open: func(t *testing.T, text []byte) answer {
			url, requests := w.attestedServer(t, good)
			a := call(t, []byte(w.idp.Token(nil)), exits{2}, "ctb", "exchange", "--broker", url, "--policy", beside(t, text), "--collateral", w.path("collateral.json"))
			return untold(t, "ctb exchange", a, requests)
		}},
		{name: "ctb-gateway -check", open: func(t *testing.T, text []byte) answer {
			config := strings.Replace(w.gatewayText(w.files.url), "policy: policy.yaml", "policy: "+beside(t, text), 1)
			return call(t, nil, exits{1}, "ctb-gateway", "-config", w.beside(t, "gateway.yaml", []byte(config), gatewayFiles...), "-check")
		}},
	}
}
