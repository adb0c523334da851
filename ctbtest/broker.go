package ctbtest

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/broker"
	"github.com/confidential-token-broker/ctb/exchange"
	"github.com/confidential-token-broker/ctb/rules"
)

// BrokerConfig describes a broker. The zero value has an identity provider of
// its own, and one rule: its users get tokens for [Audience] with the scopes
// read:reports and write:reports, for an hour.
type BrokerConfig struct {
	IdP       *IdP             // nil means a fresh one
	Rules     []byte           // a rule file; nil means the one rule
	Algorithm string           // of access tokens; empty means ES256 (RS256 with Original)
	Original  bool             // the compatibility profile: GET /stsToken, the original's tokens and evidence
	TEE       string           // of the simulated hardware: "sgx" or "tdx"; empty means sgx
	Unstapled bool             // it serves no collateral beside its evidence: its checkers must have it from elsewhere
	Now       func() time.Time // nil means time.Now
}

// Broker is a running token broker on simulated hardware: it serves HTTPS on a
// loopback address with an attested certificate, and its signing keys come with
// evidence of the genuine format under a development root.
type Broker struct {
	// URL is its address and, but for the compatibility profile, the "iss" of its tokens.
	URL string
	// IdP is the identity provider whose id tokens it takes.
	IdP *IdP

	tb       testing.TB
	config   BrokerConfig
	platform *simulated.Platform
	broker   *broker.Broker
	policy   *attest.Policy
	client   *http.Client
	server   *http.Server
	audit    auditor
}

// NewBroker starts a broker. A nil config is the zero one.
func NewBroker(tb testing.TB, c *BrokerConfig) *Broker {
	tb.Helper()
	if c == nil {
		c = new(BrokerConfig)
	}
	b := &Broker{tb: tb, config: *c, IdP: c.IdP}
	if b.config.Now == nil {
		b.config.Now = time.Now
	}
	if b.IdP == nil {
		b.IdP = NewIdP(tb, &IdPConfig{Now: c.Now})
	}
	var err error
	if b.platform, err = simulated.New(simulated.Config{TEE: b.config.TEE, Now: b.config.Now()}); err != nil {
		tb.Fatalf("ctbtest: %v", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("ctbtest: %v", err)
	}
	b.URL = "https://" + listener.Addr().String()
	set := b.parseRules(c.Rules)
	b.start(set)
	b.serve(listener)
	b.policy = b.newPolicy(set)
	b.client = b.newClient()
	return b
}

// start makes the broker, and rotates its keys until the test ends.
func (b *Broker) start(set *rules.Set) {
	b.tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var quoter attest.Quoter = b.platform
	if b.config.Unstapled {
		quoter = bare{quoter}
	}
	var err error
	b.broker, err = broker.New(ctx, broker.Config{
		Issuer: b.URL, Rules: set, Quoter: quoter, Audit: &b.audit, Client: b.IdP.Client(),
		Now: b.config.Now, Algorithm: b.config.Algorithm, Original: b.config.Original, Simulated: true,
	})
	if err != nil {
		cancel()
		b.tb.Fatalf("ctbtest: %v", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.broker.Run(ctx)
	}()
	b.tb.Cleanup(func() { cancel(); <-done })
}

// bare is hardware whose evidence brings no collateral, as that of hardware which is not simulated.
type bare struct{ attest.Quoter }

func (b bare) Quote(ctx context.Context, data [64]byte) (*attest.Evidence, error) {
	e, err := b.Quoter.Quote(ctx, data)
	if err != nil {
		return nil, err
	}
	return &attest.Evidence{Platform: e.Platform, Quote: e.Quote}, nil
}

// serve is HTTPS with the broker's own attested certificate. (httptest's servers
// have a certificate already, and prefer it for clients that dial an IP address.)
func (b *Broker) serve(listener net.Listener) {
	b.server = &http.Server{
		Handler:   b.broker,
		TLSConfig: &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return b.broker.TLSCertificate() }},
		ErrorLog:  slog.NewLogLogger(slog.DiscardHandler, 0), // clients that refuse the certificate are no news to a test
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.server.ServeTLS(listener, "", "")
	}()
	b.tb.Cleanup(func() { b.server.Close(); <-done })
}

// parseRules reads the rules of the test, or makes the one rule.
func (b *Broker) parseRules(data []byte) *rules.Set {
	b.tb.Helper()
	if data == nil {
		var err error
		data, err = json.Marshal(map[string]any{"configs": []any{map[string]any{
			"idp": b.IdP.URL, "client_id": b.IdP.client, "server_api": []string{Audience},
			"scope": "read:reports write:reports", "expiration": 3600,
		}}})
		if err != nil {
			b.tb.Fatalf("ctbtest: %v", err)
		}
	}
	set, err := rules.Parse(data)
	if err != nil {
		b.tb.Fatalf("ctbtest: rules: %v", err)
	}
	return set
}

// newPolicy accepts this broker alone: its build, its URL and its rules.
func (b *Broker) newPolicy(set *rules.Set) *attest.Policy {
	digest := set.Digest()
	build := attest.Build{TEE: "sgx", Measurements: map[string][]byte{"mrenclave": simulated.DevMRENCLAVE[:]}}
	if b.config.TEE == "tdx" {
		build = attest.Build{TEE: "tdx", Measurements: map[string][]byte{"mrtd": simulated.DevMRTD[:]}}
	}
	p := &attest.Policy{Builds: []attest.Build{build}, SimulatedRoot: "root.pem"}
	if b.config.Original {
		p.Scheme = attest.Original // which binds neither issuer nor rules
		return p
	}
	p.Issuer = b.URL
	p.Rules = []string{"sha256:" + hex.EncodeToString(digest[:])}
	return p
}

// newClient trusts the broker's certificate by its evidence, whatever the scheme of the policy.
func (b *Broker) newClient() *http.Client {
	b.tb.Helper()
	p := *b.policy
	p.Scheme = attest.DICE
	conf, err := attest.TLSConfig(attest.Config{URL: b.URL, Policy: &p, Platforms: b.Platforms(), Now: b.config.Now})
	if err != nil {
		b.tb.Fatalf("ctbtest: %v", err)
	}
	transport := &http.Transport{TLSClientConfig: conf}
	b.tb.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 30 * time.Second}
}

// Stop takes the broker off the network, for tests of what goes on without it.
func (b *Broker) Stop() { b.server.Close() }

// Client returns an HTTP client that trusts this broker's attested
// certificate, and no other.
func (b *Broker) Client() *http.Client { return b.client }

// Policy returns a policy that accepts this broker alone. It is a copy: change
// it to see what is refused.
func (b *Broker) Policy() *attest.Policy {
	p := *b.policy
	p.Builds, p.Rules = slices.Clone(p.Builds), slices.Clone(p.Rules)
	return &p
}

// Platforms returns what verifies the broker's evidence: a dcap.Verifier that
// trusts the development root and has the collateral of the simulated platform.
func (b *Broker) Platforms() []attest.Verifier {
	return []attest.Verifier{&dcap.Verifier{Root: b.platform.Root(), Collateral: b.platform.Collateral()}}
}

// Hardware returns the simulated hardware, for a [simulated.PCS] that knows it.
func (b *Broker) Hardware() *simulated.Platform { return b.platform }

// Files writes the policy (with the development root beside it) and the
// collateral, for programs such as ctb and ctb-gateway. It returns their paths.
func (b *Broker) Files() (policy, collateral string) {
	b.tb.Helper()
	dir := b.tb.TempDir()
	text := "simulated_root: root.pem\nbuilds:\n"
	for _, build := range b.policy.Builds {
		text += "  - tee: " + build.TEE + "\n"
		for name, value := range build.Measurements {
			text += fmt.Sprintf("    %s: %x\n", name, value)
		}
	}
	if b.policy.Scheme != "" {
		text += "scheme: " + b.policy.Scheme + "\n"
	} else {
		text += fmt.Sprintf("issuer: %s\nrules: [%q]\n", b.policy.Issuer, b.policy.Rules[0])
	}
	policy, collateral = filepath.Join(dir, "policy.yaml"), filepath.Join(dir, "collateral.json")
	for path, data := range map[string][]byte{
		policy:                         []byte(text),
		collateral:                     b.platform.Collateral().Marshal(),
		filepath.Join(dir, "root.pem"): pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b.platform.Root().Raw}),
	} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			b.tb.Fatalf("ctbtest: %v", err)
		}
	}
	return policy, collateral
}

// Keys returns the broker's keys, each of which is accepted only with evidence
// that satisfies the policy.
func (b *Broker) Keys() ctb.KeySet {
	b.tb.Helper()
	keys, err := attest.NewKeySet(attest.Config{
		URL: b.URL, Policy: b.policy, Platforms: b.Platforms(), Client: b.client, Now: b.config.Now,
	})
	if err != nil {
		b.tb.Fatalf("ctbtest: %v", err)
	}
	return keys
}

// Verifier returns a verifier that accepts the broker's tokens for [Audience],
// as a resource server would make it.
func (b *Broker) Verifier() *ctb.Verifier {
	b.tb.Helper()
	v, err := ctb.NewVerifier(ctb.Config{Issuer: b.URL, Audience: Audience, Keys: b.Keys(), Now: b.config.Now})
	if err != nil {
		b.tb.Fatalf("ctbtest: %v", err)
	}
	return v
}

// Exchange exchanges an id token for an access token over HTTPS, with all that
// the rules give.
func (b *Broker) Exchange(idToken string) string {
	b.tb.Helper()
	res, err := b.TryExchange(&exchange.Request{SubjectToken: idToken})
	if err != nil {
		b.tb.Fatalf("ctbtest: exchange: %v", err)
	}
	return res.AccessToken
}

// TryExchange is an exchange that may be refused: the error is then an *exchange.Error.
func (b *Broker) TryExchange(r *exchange.Request) (*exchange.Response, error) {
	c := exchange.Client{URL: b.URL + "/token", HTTP: b.client}
	return c.Exchange(context.Background(), r)
}

// Token is a shortcut to an access token: an id token with these changes, exchanged.
func (b *Broker) Token(changes Claims) string {
	b.tb.Helper()
	return b.Exchange(b.IdP.Token(changes))
}

// Audit returns the records of every decision so far.
func (b *Broker) Audit() []broker.Event {
	b.audit.mu.Lock()
	defer b.audit.mu.Unlock()
	return slices.Clone(b.audit.events)
}

// auditor keeps records in memory.
type auditor struct {
	mu     sync.Mutex
	events []broker.Event
}

// Record implements broker.Auditor.
func (a *auditor) Record(_ context.Context, e *broker.Event) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.events = append(a.events, *e)
	return nil
}
