package demo

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/broker"
	"github.com/confidential-token-broker/ctb/cmd/ctb/internal/report"
	"github.com/confidential-token-broker/ctb/internal/devidp"
	"github.com/confidential-token-broker/ctb/internal/fetch"
	"github.com/confidential-token-broker/ctb/rules"
)

// stage is where the parties stand.
type stage struct {
	config         Config
	out            *report.Writer
	passed, failed int

	dir       string
	temporary bool
	servers   []*http.Server
	running   sync.WaitGroup
	broken    chan error      // a server ended by itself
	life      context.Context // of the brokers' rotation: the stage's, not the caller's
	stop      context.CancelFunc

	now      time.Time
	seed     []byte
	cert     tls.Certificate // of the identity provider and the gateway
	platform *simulated.Platform

	idp        *devidp.Provider
	idpURL     string
	broker     *broker.Broker
	brokerURL  string
	audit      *auditLog
	gatewayURL string

	// What a stranger has: a policy, platforms to verify with, and a client that
	// only speaks to attested brokers.
	policy    *attest.Policy
	platforms []attest.Verifier
	web       *http.Client // ordinary TLS, to the identity provider and the gateway
	attested  *http.Client // to the broker

	keys ctb.KeySet // the broker's, verified from its key set in step 3

	idToken, accessToken, originalToken string
}

// set sets the stage: first all addresses, so that a taken one is known at once.
func (s *stage) set(ctx context.Context) error {
	s.now, s.broken = time.Now(), make(chan error, 8)
	s.life, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	ls, err := listenAll(ctx, s.config)
	if err != nil {
		return err
	}
	s.idpURL, s.brokerURL, s.gatewayURL = "https://"+ls.idp.Addr().String(), "https://"+ls.broker.Addr().String(), "https://"+ls.gateway.Addr().String()
	if s.seed, err = loadSeed(s.config.SeedFile); err != nil {
		return err
	}
	if err := s.openDir(); err != nil {
		return err
	}
	if s.cert, err = newCertificate(s.now); err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AddCert(s.cert.Leaf)
	s.web = fetch.Client(roots)
	if s.platform, err = simulated.New(simulated.Config{Seed: s.seed, Now: s.now}); err != nil {
		return err
	}
	if err := s.setIdP(ls.idp); err != nil {
		return fmt.Errorf("identity provider: %w", err)
	}
	if err := s.setBroker(s.life, ls.broker); err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	if err := s.setGateway(s.life, ls.gateway); err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	return nil
}

func (s *stage) tls() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{s.cert}, MinVersion: tls.VersionTLS12}
}

// parseRules reads rule text that the demo itself wrote.
func parseRules(text []byte) (*rules.Set, error) {
	set, err := rules.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("rules: %w", err)
	}
	return set, nil
}

// close ends the servers and removes a temporary folder.
func (s *stage) close() {
	if s.stop != nil {
		s.stop()
	}
	// The clients of the demo are its own: nobody is cut off.
	for _, srv := range s.servers {
		srv.Close()
	}
	s.running.Wait()
	if s.temporary {
		os.RemoveAll(s.dir)
	}
}

// introduce names the parties.
func (s *stage) introduce() {
	w := s.out
	w.Title("The confidential token broker on this machine")
	w.Text("Four parties on sockets of their own. The hardware is simulated: its evidence has the genuine form, under a root made for development.")
	w.Row("identity", s.idpURL, "an OpenID Connect provider; logs users in")
	w.Row("broker", s.brokerURL, "turns id tokens into access tokens, by its rules")
	w.Row("gateway", s.gatewayURL, "lets requests through to an API behind it")
	w.Row("checker", "this program: has the policy that names what it trusts")
}
