package main

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/acme"
)

const (
	orderWithin  = 5 * time.Minute // one order, from the account to the certificate
	firstRetry   = time.Minute     // after an order failed; then twice as long each time
	longestRetry = 6 * time.Hour   // also where the CA asks for more
	shortestLife = 5 * time.Second // between a certificate and its renewal, whatever the certificate says
	repeats      = 4               // of one request that got a 5xx or a stale nonce
)

// public is the certificate of a public CA beside the attested one, for clients that know
// nothing of evidence. Its key is made here, is nowhere else, and is attested before any client sees the
// certificate: those that have a policy find its key among the attested ones, and anybody else's not.
//
// Certificates are ordered ahead for the names of the configuration, in the background; a handshake
// orders nothing. As long as there is none, or its key is not attested, the attested certificate is shown in its place.
type public struct {
	settings *certificate
	names    []string
	key      *ecdsa.PrivateKey
	client   *acme.Client
	attest   func(key crypto.Signer, names []string) error
	listed   func(*x509.Certificate) bool // its key is among the attested ones, where checkers look
	log      *slog.Logger
	told     string // what kind of fault was logged last: run alone asks

	shown atomic.Pointer[tls.Certificate]

	mu         sync.Mutex
	challenges map[string]*tls.Certificate // by name, while the CA asks for them
}

// newPublic makes the key, and asks nobody yet.
func newPublic(c *config, attest func(crypto.Signer, []string) error, listed func(*x509.Certificate) bool, log *slog.Logger) (*public, error) {
	settings := c.TLS.ACME
	client, err := settings.client()
	if err != nil {
		return nil, c.file.Fault("tls.acme.ca_path", "%w", err)
	}
	account, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return &public{
		settings: settings, names: c.certified(), key: key, attest: attest, listed: listed, log: log,
		client:     &acme.Client{Key: account, DirectoryURL: settings.Directory, HTTPClient: client, UserAgent: "ctb-broker", RetryBackoff: repeat},
		challenges: map[string]*tls.Certificate{},
	}, nil
}

// repeat is when to repeat a request that failed; not at all where the CA says that there were too many.
func repeat(n int, _ *http.Request, answer *http.Response) time.Duration {
	if n > repeats || answer != nil && answer.StatusCode == http.StatusTooManyRequests {
		return 0
	}
	return 250 * time.Millisecond << (n - 1)
}

// choose is for tls.Config.GetCertificate: what this handshake is to see. own is the attested certificate.
func (p *public) choose(hello *tls.ClientHelloInfo, own func() (*tls.Certificate, error)) (*tls.Certificate, error) {
	name := strings.ToLower(hello.ServerName)
	if len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == alpnACME {
		p.mu.Lock()
		defer p.mu.Unlock()
		if proof := p.challenges[name]; proof != nil {
			return proof, nil
		}
		return nil, errors.New("acme: no certificate is being ordered for this name")
	}
	if c := p.shown.Load(); c != nil && slices.Contains(p.names, name) && time.Now().Before(c.Leaf.NotAfter) && p.listed(c.Leaf) {
		return c, nil
	}
	return own()
}

// guard ends connections that were for a proof: RFC 8737 section 3 has no data on them.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS != nil && r.TLS.NegotiatedProtocol == alpnACME {
			panic(http.ErrAbortHandler)
		}
		next.ServeHTTP(w, r)
	})
}

// run keeps a certificate at hand until ctx ends. Faults are told, and end nothing: the attested certificate is there.
func (p *public) run(ctx context.Context) error {
	for failed := 0; ; {
		wait, err := p.renew(ctx)
		if ctx.Err() != nil {
			return nil
		}
		p.tell(err)
		if failed++; err == nil {
			failed = 0
		} else {
			wait = backoff(failed, err)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// backoff is how long to wait after so many orders have failed, the CA's own word included.
func backoff(failed int, err error) time.Duration {
	wait := firstRetry << min(failed-1, 10)
	var problem *acme.Error
	if errors.As(err, &problem) {
		after, _ := acme.RateLimit(problem) // which knows no wrapped errors
		wait = max(wait, after)
	}
	return min(wait, longestRetry)
}

// renew has the key attested, orders a certificate for it and shows it. It returns when to come again:
// after two thirds of what is left of the certificate's life, whenever that began.
//
// A renewed certificate is of the same key, so that the attestation document which a client has at hand is
// about the key that it sees.
func (p *public) renew(ctx context.Context) (again time.Duration, err error) {
	if err := p.attest(p.key, p.names); err != nil { // which does nothing where it is attested
		return 0, fmt.Errorf("evidence for the key: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, orderWithin)
	defer cancel()
	made, err := p.order(ctx)
	if err != nil {
		return 0, err
	}
	p.shown.Store(made)
	leaf := made.Leaf
	p.log.Info("the certificate of a public CA is shown, as soon as its key is attested", "names", p.names, "ca", leaf.Issuer.CommonName, "until", leaf.NotAfter)
	return max(time.Until(leaf.NotAfter)*2/3, shortestLife), nil
}

// order gets one certificate for all names: 1 an account, 2 an order, 3 a proof for each name, 4 the certificate.
func (p *public) order(ctx context.Context) (*tls.Certificate, error) {
	account := new(acme.Account)
	if p.settings.Contact != "" {
		account.Contact = []string{"mailto:" + p.settings.Contact}
	}
	if _, err := p.client.Register(ctx, account, acme.AcceptTOS); err != nil && !errors.Is(err, acme.ErrAccountAlreadyExists) {
		return nil, fmt.Errorf("account: %w", err)
	}
	order, err := p.client.AuthorizeOrder(ctx, acme.DomainIDs(p.names...))
	if err != nil {
		return nil, fmt.Errorf("order: %w", err)
	}
	for _, url := range order.AuthzURLs {
		if err := p.prove(ctx, url); err != nil {
			return nil, err
		}
	}
	if _, err = p.client.WaitOrder(ctx, order.URI); err != nil {
		return nil, fmt.Errorf("order: %w", err)
	}
	chain, err := p.finish(ctx, order)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	return p.pair(chain)
}

// finish has the certificate made for the key and gets it.
func (p *public) finish(ctx context.Context, order *acme.Order) (chain [][]byte, err error) {
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: p.names}, p.key)
	if err != nil {
		return nil, err
	}
	chain, _, err = p.client.CreateOrderCert(ctx, order.FinalizeURL, request, true)
	if err == nil {
		return chain, nil
	}
	// A CA that takes its time need not say again where the order is (RFC 8555 section 7.4), and package acme
	// looks for it there alone. An order that is still "ready" was not taken, and err says why.
	order, late := p.client.WaitOrder(ctx, order.URI)
	if late != nil || order.Status != acme.StatusValid || order.CertURL == "" {
		return nil, err
	}
	return p.client.FetchCert(ctx, order.CertURL, true)
}

// prove shows the CA that a name leads here (TLS-ALPN-01, RFC 8737).
func (p *public) prove(ctx context.Context, url string) error {
	authorization, err := p.client.GetAuthorization(ctx, url)
	if err != nil {
		return fmt.Errorf("authorization: %w", err)
	}
	if authorization.Status == acme.StatusValid {
		return nil
	}
	name := strings.ToLower(authorization.Identifier.Value)
	if !slices.Contains(p.names, name) {
		return fmt.Errorf("authorization: the CA asks for a proof of %.100q, which was not ordered", name)
	}
	i := slices.IndexFunc(authorization.Challenges, func(c *acme.Challenge) bool { return c.Type == "tls-alpn-01" })
	if i < 0 {
		return fmt.Errorf("%s: the CA offers no challenge of the type tls-alpn-01", name)
	}
	challenge := authorization.Challenges[i]
	proof, err := p.client.TLSALPN01ChallengeCert(challenge.Token, name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	p.show(name, &proof)
	defer p.show(name, nil)
	if _, err := p.client.Accept(ctx, challenge); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if _, err := p.client.WaitAuthorization(ctx, url); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// show makes a proof the one that the CA sees at its name; nil ends that.
func (p *public) show(name string, proof *tls.Certificate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if proof == nil {
		delete(p.challenges, name)
	} else {
		p.challenges[name] = proof
	}
}

// pair joins what the CA gave to the key, if it is what was asked for. Whether clients trust the CA is theirs to say.
func (p *public) pair(chain [][]byte) (*tls.Certificate, error) {
	if len(chain) == 0 {
		return nil, errors.New("certificate: the CA's answer has none")
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	if !p.key.PublicKey.Equal(leaf.PublicKey) {
		return nil, errors.New("certificate: the CA's answer is of another key")
	}
	for _, name := range p.names {
		if err := leaf.VerifyHostname(name); err != nil {
			return nil, fmt.Errorf("certificate: %w", err)
		}
	}
	if !time.Now().Before(leaf.NotAfter) {
		return nil, fmt.Errorf("certificate: it ended at %s", leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return &tls.Certificate{Certificate: chain, PrivateKey: p.key, Leaf: leaf}, nil
}

// tell logs a fault once, until there is another kind of it or none.
func (p *public) tell(err error) {
	now := kindOf(err)
	if now == p.told {
		return
	}
	p.told = now
	if err == nil {
		return // what is shown was told
	}
	instead := "the attested certificate is shown in its place"
	if c := p.shown.Load(); c != nil {
		instead = "the last one is shown until " + c.Leaf.NotAfter.UTC().Format(time.RFC3339)
	}
	p.log.Warn("no certificate of a public CA can be had now; "+instead, "err", fmt.Sprintf("%.1000s", err.Error()), "names", p.names)
}

// kindOf is what makes one fault another than the last: the text may differ each time, by an order's URL, say.
func kindOf(err error) string {
	if err == nil {
		return ""
	}
	var problem *acme.Error
	var proof *acme.AuthorizationError
	switch {
	case errors.As(err, &proof):
		kind := "authorization " + proof.Identifier
		for _, e := range proof.Errors {
			if errors.As(e, &problem) {
				kind += " " + problem.ProblemType
			}
		}
		return kind
	case errors.As(err, &problem):
		return cmp.Or(problem.ProblemType, "problem")
	}
	step, _, _ := strings.Cut(err.Error(), ":")
	return step
}
