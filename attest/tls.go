package attest

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"

	"github.com/confidential-token-broker/ctb/internal/fetch"
)

// TLSConfig returns a client configuration that accepts exactly the peers
// whose key is attested for [UseTLS] and passes the policy. The evidence is in the peer's certificate or, where that
// has none, such as one of a public certificate authority, in an attested certificate of the very same key that the
// broker's document lists ([Attestation]): the peer has proved that it has this key, and the evidence says where that lives. What an
// authority says counts for nothing in either case, so its certificate may as well be somebody else's work.
//
// Every certificate must name the host that was dialled; for an IP address, which
// TLS does not tell its callbacks, it must name the host of c.URL.
//
// The issuer is the policy's or, if it names none, c.Issuer or that of c.URL, as in
// [NewKeySet]. A policy of the scheme [Original] is refused: it has no TLS keys.
// c.Client is not used: the broker's document, for the collateral that is stapled to it and for keys, is asked for beside
// the handshake, for at most 3 s and at most once in 30 s, by a client that knows the server by nothing ([FetchAttestation]). Whoever
// withholds it keeps such peers from being accepted, and no more. A key that the document does not list, or not well, has it asked for anew.
//
// Each connection is judged once, when it is made or resumed; to have it judged again, close it.
//
// What comes over it is not judged: the key set of a broker with a state directory has keys from its host's disk, whose
// evidence [NewKeySet] judges, and a plain reader of key sets believes.
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
	host := cmp.Or(state.ServerName, urlHost)
	if err := leaf.VerifyHostname(host); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), fetch.Timeout)
	defer cancel()
	if len(Schemes(leaf)) > 0 {
		return j.judgeTLS(ctx, leaf)
	}
	return j.vouched(ctx, leaf, host)
}

// judgeTLS judges a certificate that carries evidence.
func (j *judge) judgeTLS(ctx context.Context, cert *x509.Certificate) error {
	at := lenient(j.now(), cert.NotBefore, cert.NotAfter)
	o := j.evidence(ctx, cert, j.scheme, at, func(a *Appraisal) []Refusal { return j.refusals(a, UseTLS) })
	if o.err != nil {
		return o.err
	}
	return j.policy.verdict(o.refused)
}
