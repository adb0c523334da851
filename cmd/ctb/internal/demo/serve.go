package demo

import (
	"fmt"
	"strings"

	"github.com/confidential-token-broker/ctb/exchange"
)

// whatNext says what to try after the demo has ended.
func (s *stage) whatNext() {
	w, ctb := s.out, s.config.Command
	w.Heading("What next")
	if !s.temporary {
		s.offlineLines()
		return
	}
	w.Text("Keep it running, with lines to paste:")
	w.Copy("    " + ctb + " demo --serve")
	w.Text("Keep its key set, policy, collateral and tokens, to inspect and verify them:")
	w.Copy("    " + ctb + " demo --dir demo-files")
}

// offlineLines are commands on the files alone.
func (s *stage) offlineLines() {
	w, ctb := s.out, s.config.Command
	judge := fmt.Sprintf("--collateral %s --policy %s", s.quoted(collateralFile), s.quoted(policyFile))
	w.Text("The evidence of the broker's keys, and the token, judged from files alone:")
	w.Copy(fmt.Sprintf("%s inspect %s --policy %s", ctb, s.quoted(staplingFile), s.quoted(policyFile)))
	w.Copy(fmt.Sprintf("%s verify - --jwks %s %s --issuer %s --audience %s < %s",
		ctb, s.quoted(jwksFile), judge, s.brokerURL, audience, s.quoted(accessFile)))
	w.Text("What the rules give to whom:")
	w.Copy(fmt.Sprintf("%s rules decide %s --id-token %s", ctb, s.quoted(rulesFile), s.quoted(idTokenFile)))
}

// printLines prints what to paste while the demo stays up. Each is one line that a shell runs as it stands.
func (s *stage) printLines() {
	w, ctb := s.out, s.config.Command
	w.Heading("It stays up: paste these in another terminal")
	w.Text("The token exchange, the keys, and the API. curl can't read evidence, so -k tells it to trust anybody; the commands of ctb below do better.")
	w.Copy(fmt.Sprintf(`curl -sk %s/token -d grant_type=%s -d subject_token_type=%s -d "subject_token=$(cat %s)" -d audience=%s`,
		s.brokerURL, exchange.GrantType, exchange.TypeIDToken, s.quoted(idTokenFile), audience))
	w.Copy(fmt.Sprintf("curl -sk %s%s", s.brokerURL, jwksPath))
	w.Copy(fmt.Sprintf(`curl -sk %s/api -H "Authorization: Bearer $(cat %s)"`, s.gatewayURL, s.quoted(accessFile)))
	w.Text("The original broker's two lines:")
	w.Copy(fmt.Sprintf(`curl -k -X GET "%s/stsToken" -H "Content-Type: application/json" -d '{"id_token": "%s"}'`, s.brokerURL, s.idToken))
	w.Copy(fmt.Sprintf(`curl -k -X GET "%s/api" --header 'authorization: Bearer %s'`, s.gatewayURL, s.originalToken))
	w.Text("The exchange again, but the id token is only sent once the broker's TLS key has proved where it lives:")
	w.Copy(fmt.Sprintf("%s exchange --broker %s --policy %s --audience %s < %s",
		ctb, s.brokerURL, s.quoted(policyFile), audience, s.quoted(idTokenFile)))
	w.Text("Its evidence, judged by the collateral that it staples:")
	w.Copy(fmt.Sprintf("%s inspect %s --policy %s", ctb, s.brokerURL, s.quoted(policyFile)))
	w.Text("Evidence of now, for a nonce:")
	w.Copy(fmt.Sprintf("%s inspect %s --fresh --policy %s", ctb, s.brokerURL, s.quoted(policyFile)))
	s.offlineLines()
	w.Text("The access tokens in these lines live for an hour; the exchange gives new ones.")
	w.Heading("Ctrl-C ends it")
}

// quoted is the path of one of the demo's files, for a shell.
func (s *stage) quoted(name string) string {
	path := s.path(name)
	plain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("/._-+@", c)
	}
	if !strings.ContainsFunc(path, func(c rune) bool { return !plain(c) }) {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
