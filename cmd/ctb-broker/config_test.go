package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/acme"

	"github.com/confidential-token-broker/ctb/internal/fetch"
)

// withSimulated lets this test binary read configurations of the development build.
func withSimulated(t *testing.T) {
	if quoters[teeSimulated] != nil {
		return
	}
	quoters[teeSimulated] = func(*config) (*hardware, error) { return nil, nil }
	t.Cleanup(func() { delete(quoters, teeSimulated) })
}

// write makes a file in a folder of its own and returns its path.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestExampleIsGood(t *testing.T) {
	withSimulated(t)
	var out strings.Builder
	if code := run(t.Context(), nil, []string{"-config", "../../deploy/broker.example.yaml", "-check"}, &out, &out); code != exitOK {
		t.Fatal(out.String())
	}
	for _, words := range []string{
		"issuer         https://broker.example.com\n", "0.0.0.0:8443, TLS with an attested key", "ES256, a new key every 24h0m0s",
		"rules          1, sha256:", "id tokens of https://example.us.auth0.com/", "no record, no token", "every token says so",
	} {
		if !strings.Contains(out.String(), words) {
			t.Errorf("no %q in\n%s", words, out.String())
		}
	}
}

// Each of the example's commented keys is one that the program knows.
func TestExampleShowsKeysThatExist(t *testing.T) {
	withSimulated(t)
	text, err := os.ReadFile("../../deploy/broker.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, swap := range []string{
		"  # certificate: tls.pem ->  certificate: tls.pem", "  # key: tls-key.pem ->  key: tls-key.pem", "  names: ->  # names:",
		"  # file: /var ->  file: /var", "  # listen: ->  listen: ", "# compatibility: -> compatibility:", "  alg: ES256 ->  alg: RS256", "rules: rules.example -> # rules: rules.example",
		"# rules_encrypted: -> rules_encrypted:", "#   file: ->   file:", "#   key_env: ->   key_env:", "#   iv_env: ->   iv_env:", "#   zero_key: ->   zero_key:",
		"  # seed_file: ->  seed_file:", "  # pcs: ->  pcs:", "  # kds: ->  kds:", "  # update: ->  update:", "  # api_key_file: ->  api_key_file:", "  # ca_path: ->  ca_path:",
		"  # cache: ->  cache:", "  # file: collateral ->  file: collateral",
	} {
		from, to, _ := strings.Cut(swap, " -> ")
		if to = strings.Replace(to, " ", " ", 1); !strings.Contains(string(text), from) {
			t.Fatalf("the example has no %q", from)
		}
		text = []byte(strings.Replace(string(text), from, indent(from, to), 1))
	}
	c, err := loadConfig(write(t, "broker.yaml", string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if c.TLS.Key == "" || c.Audit.File == "" || c.EncryptedRules.KeyEnv == "" || c.Simulated.SeedFile == "" || len(warnings(c)) != 3 ||
		c.State == "" || c.Admin.Listen != "127.0.0.1:8081" ||
		c.Collateral.PCS != "intel" || c.Collateral.KDS != "amd" || c.Collateral.Update != "standard" || !filepath.IsAbs(c.Collateral.File) || c.Collateral.Cache != "/var/cache/ctb" {
		t.Errorf("got %+v, warnings %q", c, warnings(c))
	}
}

// TestExampleShowsACME: it can't stand beside the files, which the test before has.
func TestExampleShowsACME(t *testing.T) {
	withSimulated(t)
	text, err := os.ReadFile("../../deploy/broker.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{" acme:", "   accept_terms:", "   directory:", "   contact:", "   ca_path: acme-ca"} {
		if !strings.Contains(string(text), "  #"+key) {
			t.Fatalf("the example has no %q", key)
		}
		text = []byte(strings.Replace(string(text), "  #"+key, " "+key, 1))
	}
	c, err := loadConfig(write(t, "broker.yaml", string(text)))
	if err != nil {
		t.Fatal(err)
	}
	want := certificate{Directory: acme.LetsEncryptURL, Contact: "ops@example.com", CA: filepath.Join(filepath.Dir(c.Rules), "acme-ca.pem"), AcceptTerms: true}
	if *c.TLS.ACME != want || strings.Join(c.certified(), " ") != "broker.example.com sts.example.com" {
		t.Errorf("got %+v for %q, want %+v", *c.TLS.ACME, c.certified(), want)
	}
}

// indent keeps the depth of a line that is uncommented.
func indent(from, to string) string {
	depth := len(from) - len(strings.TrimLeft(from, " "))
	if strings.HasPrefix(from, "#   ") {
		depth = 2
	}
	return strings.Repeat(" ", depth) + strings.TrimLeft(to, " ")
}

const goodConfig = "issuer: https://broker.example.com\nrules: rules.json\ntee: simulated\n"

func TestConfigFaultsHaveTheirPlace(t *testing.T) {
	withSimulated(t)
	for name, c := range map[string]struct{ text, says string }{
		"an empty file":          {"", "the file is empty"},
		"an unknown key":         {goodConfig + "isuer: x\n", ":4:1: unknown field \"isuer\""},
		"an unknown key within":  {goodConfig + "signing:\n  algorithm: ES256\n", ":5:3: unknown field \"algorithm\""},
		"a key twice":            {goodConfig + "issuer: x\n", ":4:1: "},
		"two documents":          {goodConfig + "---\nissuer: x\n", "more than one document"},
		"a list":                 {"- issuer\n", ":1:1: "},
		"no issuer":              {"rules: r\ntee: simulated\n", "issuer: missing"},
		"a port alone":           {goodConfig + "listen: \"8443\"\n", ":4:9: listen: got \"8443\""},
		"a duration without":     {goodConfig + "signing:\n  rotate_every: 24\n", "want a duration such as 24h"},
		"an unknown tee":         {strings.Replace(goodConfig, "simulated", "trustzone", 1), ":3:6: tee: got \"trustzone\", want one of auto"},
		"a seed for another tee": {strings.Replace(goodConfig, "simulated", "tdx", 1) + "simulated: {seed_file: s}\n", ":4:12: simulated: it is for tee: simulated alone"},
		"another compatibility":  {goodConfig + "compatibility: dex\n", ":4:16: compatibility: got \"dex\""},
		"a certificate alone":    {goodConfig + "tls: {certificate: a.pem}\n", "tls: certificate and key belong together"},
		"acme beside files":      {goodConfig + "tls: {certificate: a.pem, key: b.pem, acme: {accept_terms: true}}\n", ":4:45: tls.acme: there are certificate and key already"},
		"terms not accepted":     {goodConfig + "tls:\n  acme: {contact: ops@example.com}\n", ":5:9: tls.acme.accept_terms: want true"},
		"terms refused":          {goodConfig + "tls:\n  acme:\n    accept_terms: false\n", ":6:19: tls.acme.accept_terms: want true"},
		"acme at http":           {goodConfig + "tls:\n  acme: {accept_terms: true, directory: \"http://ca.example.com/dir?key=secret\"}\n", "tls.acme.directory: got \"http://ca.example.com/dir\""},
		"no mail address":        {goodConfig + "tls:\n  acme: {accept_terms: true, contact: \"a@b,c@d\"}\n", "tls.acme.contact: got \"a@b,c@d\""},
		"acme for an address":    {goodConfig + "tls:\n  names: [192.0.2.1]\n  acme: {accept_terms: true}\n", "tls.acme: 192.0.2.1 is an IP address"},
		"acme for a wildcard":    {goodConfig + "tls:\n  names: [\"*.example.com\"]\n  acme: {accept_terms: true}\n", "tls.acme: *.example.com is a wildcard"},
		"acme for a short name":  {goodConfig + "tls:\n  names: [broker]\n  acme: {accept_terms: true}\n", "tls.acme: \"broker\" is no public DNS name"},
		"no port":                {goodConfig + "listen: 127.0.0.1:99999\n", ":4:9: listen: got \"127.0.0.1:99999\", want an address and a port"},
		"no admin port":          {goodConfig + "admin: {listen: \"127.0.0.1:web8\"}\n", ":4:17: admin.listen: got \"127.0.0.1:web8\""},
		"admin at listen":        {goodConfig + "listen: 127.0.0.1:8443\nadmin: {listen: \"127.0.0.1:8443\"}\n", ":5:17: admin.listen: 127.0.0.1:8443 is that of listen already"},
		"an admin port alone":    {goodConfig + "admin: {listen: \"8081\"}\n", ":4:17: admin.listen: got \"8081\""},
		"an unknown admin key":   {goodConfig + "admin: {port: 1}\n", "unknown field \"port\""},
		"no connections":         {goodConfig + "limits: {connections: -1}\n", ":4:23: limits.connections: got -1"},
		"an unknown channel":     {goodConfig + "collateral: {pcs: intel, update: late}\n", ":4:34: collateral.update: got \"late\""},
		"a cache of nothing":     {goodConfig + "collateral:\n  cache: x\n", ":5:10: collateral.cache: it is about a collateral service"},
		"an unknown key of it":   {goodConfig + "collateral:\n  pcs: intel\n  cash: x\n", ":6:3: unknown field \"cash\""},
		"a list of collateral":   {goodConfig + "collateral: [x]\n", ":4:13: "},
		"no rules":               {"issuer: https://x\ntee: simulated\n", "rules: missing"},
		"two forms of rules":     {goodConfig + "compatibility: original\nrules_encrypted: {file: x}\n", "want one of the two"},
		"the original's alone":   {"issuer: https://x\ntee: simulated\nrules_encrypted: {file: x}\n", "needs compatibility: original"},
		"no key":                 {"issuer: https://x\ntee: simulated\ncompatibility: original\nrules_encrypted: {file: x, iv_env: IV}\n", "want one of key_file and key_env"},
		"two keys":               {"issuer: https://x\ntee: simulated\ncompatibility: original\nrules_encrypted: {file: x, iv_env: IV, key_env: A, key_file: B}\n", "want one of key_file and key_env"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := loadConfig(write(t, "broker.yaml", c.text))
			if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "broker.yaml") {
				t.Errorf("got %v, want … broker.yaml … %s", err, c.says)
			}
		})
	}
}

func TestConfigIsJSONToo(t *testing.T) {
	withSimulated(t)
	c, err := loadConfig(write(t, "broker.json", `{"issuer": "https://broker.example.com", "rules": "r.json", "tee": "simulated", "signing": {"rotate_every": "1h"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if !filepath.IsAbs(c.Rules) || filepath.Base(c.Rules) != "r.json" || c.Signing.RotateEvery == 0 {
		t.Errorf("got %+v", c)
	}
}

// TestNoRuleFile: the error has the place of the key that names the file.
func TestNoRuleFile(t *testing.T) {
	withSimulated(t)
	c, err := loadConfig(write(t, "broker.yaml", goodConfig))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.loadRules(fetch.File); err == nil || !strings.Contains(err.Error(), "broker.yaml:2:8: rules: open ") || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want the line of rules", err)
	}
}

func TestWrongUse(t *testing.T) {
	const missing, surplus = "ctb-broker: -config is missing", "ctb-broker: what is no flag is not read"
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, missing}, {[]string{"-check"}, missing}, {[]string{"-config", ""}, missing},
		{[]string{"x.yaml"}, surplus}, {[]string{"-config", "x", "y"}, surplus},
		{[]string{"-config"}, "flag needs an argument"}, {[]string{"-key", "x"}, "not defined"},
	} {
		var errs strings.Builder
		if code := run(t.Context(), nil, c.args, &errs, &errs); code != exitUsage || !strings.Contains(errs.String(), "usage") || !strings.Contains(errs.String(), c.want) {
			t.Errorf("%q: got %d, %s, want %q in it", c.args, code, errs.String(), c.want)
		}
	}
}

// The original's form of a rule file, under its key of zeros, is read too.
func TestEncryptedRules(t *testing.T) {
	withSimulated(t)
	dir := t.TempDir()
	zeros := strings.Repeat("0", 32)
	files := map[string]string{
		"config": encryptUnderZeros(t), "key": zeros + "\n", "iv": zeros + "\n", "short": "00", "other": strings.Repeat("1", 32),
		"good.yaml": "key_file: key, iv_file: iv, zero_key: true", "refused.yaml": "key_file: key, iv_file: iv",
		"short.yaml": "key_file: short, iv_file: iv, zero_key: true", "other.yaml": "key_file: other, iv_file: iv",
		"env.yaml": "key_env: CTB_TEST_KEY, iv_env: CTB_TEST_KEY, zero_key: true",
	}
	for name, text := range files {
		if strings.HasSuffix(name, ".yaml") {
			text = "issuer: https://broker.example.com\ntee: simulated\ncompatibility: original\nrules_encrypted: {file: config, " + text + "}\n"
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("CTB_TEST_KEY", zeros)
	for name, says := range map[string]string{
		"good": "has no integrity", "env": "a key of zeros is no secret", "refused": "zero", "short": "32 hexadecimal digits", "other": "config",
	} {
		var out strings.Builder
		code := run(t.Context(), nil, []string{"-config", filepath.Join(dir, name+".yaml"), "-check"}, &out, &out)
		if good := name == "good" || name == "env"; good != (code == exitOK) || !strings.Contains(out.String(), says) {
			t.Errorf("%s: got %d, want … %s:\n%s", name, code, says, out.String())
		}
		if strings.Contains(out.String(), zeros) || strings.Contains(out.String(), files["other"]) {
			t.Errorf("%s: the key is told", name)
		}
	}
}
