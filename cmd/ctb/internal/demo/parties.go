package demo

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/broker"
	"github.com/confidential-token-broker/ctb/gateway"
	"github.com/confidential-token-broker/ctb/gateway/credential"
	"github.com/confidential-token-broker/ctb/internal/devidp"
	"github.com/confidential-token-broker/ctb/internal/fetch"
)

// listeners are the addresses of the parties.
type listeners struct{ idp, broker, gateway net.Listener }

func listenAll(ctx context.Context, c Config) (ls listeners, err error) {
	for _, want := range []struct {
		flag, addr string
		to         *net.Listener
	}{
		{"broker-addr", c.BrokerAddr, &ls.broker},
		{"gateway-addr", c.GatewayAddr, &ls.gateway},
		{"idp-addr", c.IdPAddr, &ls.idp},
	} {
		if *want.to, err = listen(ctx, want.flag, want.addr); err != nil {
			for _, open := range []net.Listener{ls.broker, ls.gateway, ls.idp} {
				if open != nil {
					open.Close()
				}
			}
			return ls, err
		}
	}
	return ls, nil
}

// setIdP starts the identity provider, with one user.
func (s *stage) setIdP(l net.Listener) error {
	var err error
	s.idp, err = devidp.New(devidp.Config{
		Issuer:   s.idpURL,
		Clients:  []devidp.Client{{ID: clientID, RedirectURIs: []string{redirectURI}}},
		Lifetime: session,
	})
	if err != nil {
		return err
	}
	s.serve(l, s.tls(), s.idp)
	return nil
}

// setBroker starts the broker in its simulated environment, with the
// compatibility profile on, and writes down what a stranger needs to judge it.
func (s *stage) setBroker(ctx context.Context, l net.Listener) error {
	text := ruleText(s.idpURL, s.idp.URL(devidp.JWKSPath))
	set, err := parseRules(text)
	if err != nil {
		return err
	}
	if err := s.write(rulesFile, text); err != nil {
		return err
	}
	if err := s.writeTrust(s.brokerURL, set); err != nil {
		return err
	}
	s.audit = &auditLog{}
	s.broker, err = s.startBroker(ctx, l, s.platform, broker.Config{Rules: set, Audit: s.audit, Original: true})
	if err != nil {
		return err
	}
	cert, err := s.broker.TLSCertificate()
	if err != nil {
		return err
	}
	if err := s.writeCA(s.cert.Leaf.Raw, cert.Leaf.Raw); err != nil {
		return err
	}
	s.attested, err = s.clientFor(s.brokerURL, s.policy, s.platforms)
	return err
}

// startBroker starts a broker on l, as whoever runs one would.
func (s *stage) startBroker(ctx context.Context, l net.Listener, hardware attest.Quoter, c broker.Config) (*broker.Broker, error) {
	c.Issuer, c.Quoter, c.Client, c.Simulated = "https://"+l.Addr().String(), hardware, s.web, true
	b, err := broker.New(ctx, c)
	if err != nil {
		return nil, err
	}
	if _, err := b.TLSCertificate(); err != nil {
		return nil, err
	}
	s.running.Go(func() { b.Run(ctx) })
	s.serve(l, &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return b.TLSCertificate()
		},
	}, b)
	return b, nil
}

// clientFor returns a client that speaks to the broker at url alone, if the policy accepts it.
func (s *stage) clientFor(url string, p *attest.Policy, platforms []attest.Verifier) (*http.Client, error) {
	c, err := attest.TLSConfig(attest.Config{URL: url, Policy: p, Platforms: platforms})
	if err != nil {
		return nil, err
	}
	return fetch.ClientTLS(c), nil
}

// auditLog keeps the newest record, so that the story can tell the reason
// of a refusal, which the asker never learns.
type auditLog struct {
	mu   sync.Mutex
	last broker.Event
}

// Record implements broker.Auditor.
func (a *auditLog) Record(_ context.Context, e *broker.Event) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last = *e // the event itself is the broker's
	return nil
}

// newest returns the newest record.
func (a *auditLog) newest() broker.Event {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last
}

// audited tells whether the newest record is of the access token.
func (s *stage) audited() error {
	sum := sha256.Sum256([]byte(s.accessToken))
	if last := s.audit.newest(); last.TokenSHA256 != hex.EncodeToString(sum[:]) {
		return errors.New("the newest record is not of this token")
	}
	return nil
}

// setGateway starts the API and the gateway before it.
func (s *stage) setGateway(ctx context.Context, l net.Listener) error {
	apiListener, err := listen(ctx, "gateway-addr", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.serve(apiListener, nil, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, apiAnswer)
	}))
	keys, err := attest.NewKeySet(attest.Config{URL: s.brokerURL, Policy: s.policy, Platforms: s.platforms, Client: s.attested})
	if err != nil {
		return err
	}
	upstream := &url.URL{Scheme: "http", Host: apiListener.Addr().String()}
	strict, err := newGateway(upstream, ctb.Config{Issuer: s.brokerURL, Audience: audience, Keys: keys})
	if err != nil {
		return err
	}
	original, err := newGateway(upstream, ctb.Config{Issuer: originalIssuer, Audience: audience, Keys: keys, Type: ctb.IDToken})
	if err != nil {
		return err
	}
	s.serve(l, s.tls(), byType{strict: strict, original: original})
	return nil
}

// originalIssuer is the "iss" of the compatibility profile's tokens.
const originalIssuer = "enclave authorization"

func newGateway(upstream *url.URL, c ctb.Config) (http.Handler, error) {
	v, err := ctb.NewVerifier(c)
	if err != nil {
		return nil, err
	}
	credentials, err := credential.NewTokens([]credential.Issuer{{Name: c.Issuer, Verifier: v}})
	if err != nil {
		return nil, err
	}
	return gateway.New(gateway.Config{Upstream: upstream, Credentials: credentials, Requirements: []ctb.Requirement{ctb.Scope(scope)}})
}

// byType sends a request to the gateway for the kind of its token. The unverified
// header only chooses which verifier judges it: each accepts its own kind alone.
type byType struct{ strict, original http.Handler }

func (g byType) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if tokenType(r.Header.Get("Authorization")) == "JWT" {
		g.original.ServeHTTP(w, r)
		return
	}
	g.strict.ServeHTTP(w, r)
}

// tokenType reads the "typ" of a bearer token, or "".
func tokenType(authorization string) string {
	_, token, _ := strings.Cut(authorization, " ")
	head, _, _ := strings.Cut(token, ".")
	raw, err := base64.RawURLEncoding.DecodeString(head)
	var header struct {
		Type string `json:"typ"`
	}
	if err != nil || json.Unmarshal(raw, &header) != nil {
		return ""
	}
	return header.Type
}

// hardware makes another simulated machine under the same root.
func (s *stage) hardware(change func(*simulated.Config)) (*simulated.Platform, error) {
	c := simulated.Config{Seed: s.seed, Now: s.now}
	change(&c)
	return simulated.New(c)
}
