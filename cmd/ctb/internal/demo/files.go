package demo

import (
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"

	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/cmd/internal/evidence"
	"github.com/confidential-token-broker/ctb/cmd/internal/platforms"
	"github.com/confidential-token-broker/ctb/rules"
)

// The files that the demo leaves in its folder: what somebody who accepts the
// broker's tokens has, and tokens to try it with.
const (
	rulesFile      = "rules.json"       // who gets which token
	policyFile     = "policy.yaml"      // which evidence is ours
	rootFile       = "root.pem"         // the development root, in the place of Intel's
	staplingFile   = "attestation.json" // the broker's keys, and beside their evidence the collateral
	collateralFile = "collateral.json"  // that collateral alone: what the hardware's maker publishes about the platform
	caFile         = "ca.pem"           // TLS certificates of the three servers
	jwksFile       = "jwks.json"        // the broker's keys
	idTokenFile    = "id-token.jwt"
	accessFile     = "access-token.jwt"
	originalFile   = "original-token.jwt" // of /stsToken
	readmeFile     = "README-demo.txt"
)

// openDir makes the folder of the demo.
func (s *stage) openDir() error {
	if s.config.Dir == "" {
		dir, err := os.MkdirTemp("", "ctb-demo-")
		if err != nil {
			return err
		}
		s.dir, s.temporary = dir, true
		return nil
	}
	if err := ownDir(s.config.Dir); err != nil {
		return &FlagError{"dir", err, "name a folder that is not there, and it is made"}
	}
	s.dir = s.config.Dir
	return s.write(readmeFile, []byte(readme))
}

// ownDir makes a folder, or takes one that a demo made: nobody else's files are overwritten.
func ownDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, readmeFile)); err == nil {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s is not empty, and was not made by a demo", dir)
	}
	return os.WriteFile(filepath.Join(dir, ".gitignore"), []byte("*\n"), 0o600) // there are tokens in it
}

// readme explains the folder, and marks it as a demo's.
const readme = `What a run of "ctb demo" left behind. The next one with this folder replaces it.

  policy.yaml          which evidence is accepted: this build, this issuer, these rules
  root.pem             the development root, which the policy names in the place of Intel's
  collateral.json      what the maker of the (simulated) hardware publishes about it
  jwks.json            the broker's keys, with their evidence
  attestation.json     the same and the collateral in one: all that a policy needs
  rules.json           who gets which token
  id-token.jwt         of the user, from the identity provider
  access-token.jwt     for the API, from the broker
  original-token.jwt   the same in the original broker's form
  ca.pem               TLS certificates of the servers, for those who can't read evidence

Nothing in here opens anything but the demo it is from.
`

func (s *stage) path(name string) string { return filepath.Join(s.dir, name) }

// write writes one of the demo's files. There are tokens among them.
func (s *stage) write(name string, data []byte) error {
	return os.WriteFile(s.path(name), data, 0o600)
}

// ruleText is the demo's rule file. The identity provider is on a port of its own.
func ruleText(idp, jwks string) []byte {
	return fmt.Appendf(nil, `{
  "configs": [
    {
      "name": "readers",
      "idp": %q,
      "jwk_endpoint": %q,
      "client_id": %q,
      "server_api": [%q, %q],
      "scope": "openid profile %s",
      "expiration": %d,
      "claims": [{"name": "email_verified", "values": [true], "value_type": "bool"}]
    }
  ]
}
`, idp, jwks, clientID, audience, elsewhere, scope, int(lifetime.Seconds()))
}

// policyText is the policy of somebody who accepts this broker's tokens: this
// build, this issuer, these rules, and for once a development root.
func policyText(mrenclave [32]byte, issuer string, digest [32]byte) []byte {
	return fmt.Appendf(nil, `# Which evidence is ours: the keys that we trust live in this build and enforce these rules.
builds:
  - tee: sgx
    mrenclave: %x
issuer: %s
rules: ["sha256:%x"]
simulated_root: %s # development only: in production, leave it out and Intel's root holds
`, mrenclave, issuer, digest, rootFile)
}

// writeTrust writes what a stranger needs to judge the broker, and reads it back as a stranger would. Collateral
// is not among it: the broker staples that to its evidence.
func (s *stage) writeTrust(issuer string, set *rules.Set) error {
	if err := s.write(rootFile, s.platform.RootPEM()); err != nil {
		return err
	}
	if err := s.write(policyFile, policyText(simulated.DevMRENCLAVE, issuer, set.Digest())); err != nil {
		return err
	}
	var err error
	s.policy, s.platforms, err = platforms.Load(s.path(policyFile), evidence.Source{})
	return err
}

// writeCA writes the TLS certificates, for clients that cannot read evidence.
func (s *stage) writeCA(certs ...[]byte) error {
	var text []byte
	for _, der := range certs {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return s.write(caFile, text)
}
