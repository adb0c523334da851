package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/confidential-token-broker/ctb/internal/fetch"
	"github.com/confidential-token-broker/ctb/rules"
)

// explain tells what would be enforced.
func explain(w io.Writer, c *config, set *rules.Set) error {
	if err := c.checkFiles(); err != nil {
		return err
	}
	var b strings.Builder
	say := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-14s %s\n", name, fmt.Sprintf(format, args...))
	}
	say("issuer", "%s", c.Issuer)
	say("listen", "%s, %s", c.Listen, tlsWords(c))
	if c.Admin.Listen != "" {
		say("admin", "%s, plain HTTP: /healthz and /readyz alone", c.Admin.Listen)
	}
	say("hardware", "%s", teeWords(c))
	say("signing", "%s, a new key every %v, announced 2 minutes before its first use", algorithm(c), rotation(c))
	say("collateral", "%s", collateralWords(c))
	say("profile", "%s", profileWords(c))
	say("state", "%s", stateWords(c))
	say("audit", "%s; no record, no token", auditWords(c))
	say("limits", "%d connections, %d bytes of headers, %v for a request", c.Limits.Connections, c.Limits.HeaderBytes, time.Duration(c.Limits.RequestTime))
	say("rules", "%d, %s", set.Len(), set.DigestString())
	for _, i := range set.Issuers() {
		keys := i.JWKSURL
		if keys == "" {
			keys = "found by OpenID Connect Discovery"
		}
		say("", "id tokens of %s, keys %s", i.URL, keys)
	}
	for _, text := range warnings(c) {
		say("warning", "%s", text)
	}
	for _, finding := range set.Check() {
		say("warning", "rule %s: %s", finding.Rule, finding.Text)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// checkFiles reads what is read at the start, besides configuration and rules.
func (c *config) checkFiles() error {
	if c.TLS.Key != "" {
		if _, err := c.loadTLS(); err != nil {
			return err
		}
	}
	if c.TLS.ACME != nil {
		if _, err := c.TLS.ACME.client(); err != nil {
			return c.file.Fault("tls.acme.ca_path", "%w", err)
		}
	}
	if err := c.checkState(); err != nil {
		return err
	}
	if c.Simulated.SeedFile != "" {
		if seed, err := fetch.File(c.Simulated.SeedFile, maxSeed); err != nil {
			return c.file.Fault("simulated.seed_file", "%w", err)
		} else if len(seed) < minSeed {
			return c.file.Fault("simulated.seed_file", "got %d bytes, want %d or more", len(seed), minSeed)
		}
	}
	if err := c.checkCollateral(); err != nil {
		return err
	}
	return c.checkAudit()
}

// checkState tells whether the directory is there or could be made, and makes none.
func (c *config) checkState() error {
	if c.State == "" {
		return nil
	}
	info, err := os.Stat(c.State)
	switch {
	case err == nil && !info.IsDir():
		return c.file.Fault("state_dir", "%s is no directory", c.State)
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return c.file.Fault("state_dir", "%w", err)
	}
	if info, err := os.Stat(filepath.Dir(c.State)); err != nil || !info.IsDir() {
		return c.file.Fault("state_dir", "there is no directory %s to make it in", filepath.Dir(c.State))
	}
	return nil
}

func stateWords(c *config) string {
	if c.State != "" {
		return "attested public keys, in " + c.State
	}
	return "none is kept"
}

func algorithm(c *config) string {
	switch {
	case c.Signing.Algorithm != "":
		return c.Signing.Algorithm
	case c.Compatibility == compatibilityOriginal:
		return "RS256"
	}
	return "ES256"
}

func rotation(c *config) time.Duration {
	if c.Signing.RotateEvery == 0 {
		return 24 * time.Hour
	}
	return time.Duration(c.Signing.RotateEvery)
}

func tlsWords(c *config) string {
	if c.TLS.Key != "" {
		return "TLS with the key in " + c.TLS.Key
	}
	const inside = "TLS with an attested key that is made inside"
	if a := c.TLS.ACME; a != nil {
		return fmt.Sprintf("%s, and beside it a certificate of the CA at %s for %s, of a key that is made inside and attested too",
			inside, fetch.Redact(a.Directory), strings.Join(c.certified(), ", "))
	}
	return inside
}

func profileWords(c *config) string {
	if c.Compatibility == compatibilityOriginal {
		return "POST /token (RFC 8693), and GET and POST /stsToken as the original broker's"
	}
	return "POST /token (RFC 8693)"
}

func auditWords(c *config) string {
	if c.Audit.File != "" {
		return "JSON lines into " + c.Audit.File
	}
	return "JSON lines to standard output"
}

// warnings are of what is allowed but weakens the promise.
func warnings(c *config) []string {
	var all []string
	if c.TLS.Key != "" {
		all = append(all, "tls.key comes from the host, who can then read every id token on its way; without it a key is made inside. "+
			"It has no evidence: clients with a policy refuse this broker")
	}
	if c.State == "" {
		all = append(all, "state_dir: there is none: after a restart, the tokens that were signed before can't be verified any more")
	}
	if c.Rules == "" {
		all = append(all, "rules_encrypted: this form has no integrity: who can write the file can change the rules, and the key hides nothing from who knows a part of them")
		if c.EncryptedRules.ZeroKey {
			all = append(all, "rules_encrypted.zero_key: a key of zeros is no secret")
		}
	}
	if text := looseAudit(c.Audit.File); text != "" {
		all = append(all, text)
	}
	if found, err := c.Collateral.Warnings(); err == nil { // else the start fails
		for _, text := range found {
			all = append(all, "collateral: "+text)
		}
	}
	if c.TEE == teeSimulated {
		all = append(all, "tee: simulated: no hardware vouches for the keys; every token says so")
	}
	return all
}
