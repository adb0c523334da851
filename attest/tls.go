package attest

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"

	"github.com/confidential-token-broker/ctb/internal/fetch"
)

// TLSConfig returns a client configuration that accepts exactly the peers
// whose certificate is attested for [UseTLS] and passes the policy. The
// certificate must name the host that was dialled; for an IP address, which
// TLS does not tell its callbacks, it must name the host of c.URL.
//
// The issuer is the policy's or, if it names none, c.Issuer or that of c.URL, as in
// [NewKeySet]. A policy of the scheme [Original] is refused: it has no TLS keys.
// c.Client is not used: collateral that the broker staples is asked for, beside
// the handshake and for at most 3 s, by a client that knows the server by nothing ([FetchAttestation]).
//
// Each connection is judged once, when it is made or resumed; to have it judged again, close it.
func TLSConfig(c Config) (*tls.Config, error) {
	j, err := newJudge(c)
	if err != nil {
		return nil, err
	}
	if j.scheme != DICE {
		return nil, fmt.Errorf("attest: a policy of the scheme %q binds no TLS keys; use %q", j.scheme, DICE)
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("attest: got URL %q, want an https URL", redact(c.URL))
	}
	_, issuer, err := splitURL(c.URL)
	if err != nil {
		return nil, err
	}
	if err := j.expect(issuer); err != nil {
		return nil, fmt.Errorf("attest: %s %w", redact(c.URL), err)
	}
	j.ask(nil, issuer)
	return j.tlsConfig(u.Hostname()), nil
}

// tlsConfig accepts peers that j accepts; host is that of the URL.
func (j *judge) tlsConfig(host string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		// Certificate authorities have no part in this: VerifyConnection
		// accepts nothing that is not attested, and runs on every
		// connection, resumed ones too. That the peer has the private key, the TLS 1.3 handshake proves either way.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			if err := j.peer(state, host); err != nil {
				return fmt.Errorf("attested TLS: %w", err)
			}
			return nil
		},
	}
}

// peer judges the certificate of one connection.
func (j *judge) peer(state tls.ConnectionState, urlHost string) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("the peer has no certificate")
	}
	leaf := state.PeerCertificates[0]
	// For an IP address ServerName is empty (RFC 6066 section 3 has none in SNI).
	if err := leaf.VerifyHostname(cmp.Or(state.ServerName, urlHost)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), fetch.Timeout)
	defer cancel()
	at := lenient(j.now(), leaf.NotBefore, leaf.NotAfter)
	o := j.evidence(ctx, leaf, j.scheme, at, func(a *Appraisal) []Refusal { return j.refusals(a, UseTLS) })
	if o.err != nil {
		return o.err
	}
	return j.policy.verdict(o.refused)
}
