package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/confidential-token-broker/ctb/internal/fetch"
	"github.com/confidential-token-broker/ctb/internal/roots"
)

// certificate says which public CA is asked, over ACME (RFC 8555), for a certificate of a key
// that is made inside.
type certificate struct {
	Directory   string `yaml:"directory"`
	Contact     string `yaml:"contact"` // a mail address, which the CA may write to; empty: none
	CA          string `yaml:"ca_path"` // that the CA's service is known by, in place of the public ones
	AcceptTerms bool   `yaml:"accept_terms"`
}

// Bounds of what ACME asks for.
const (
	maxContact = 254          // bytes of a mail address (RFC 5321 section 4.5.3.1.3)
	maxACME    = 1 << 20      // bytes of one answer of the CA
	maxCAFile  = 1 << 20      // bytes of a file of CA certificates
	maxNames   = 100          // of one certificate: Let's Encrypt's bound
	alpnACME   = "acme-tls/1" // RFC 8737 section 6.2
)

// certified are the names of the public certificate: all that the attested one has. No other name is
// ever asked for, whatever a client says in its handshake.
func (c *config) certified() []string {
	var names []string
	if u, err := url.Parse(c.Issuer); err == nil {
		names = append(names, strings.ToLower(u.Hostname()))
	}
	for _, name := range c.TLS.Names {
		names = append(names, strings.ToLower(name))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// check tells what can't be, and in which key of the file that is; an empty one is that of the whole.
func (c *certificate) check(names []string) (key string, err error) {
	u, err := url.Parse(c.Directory)
	switch {
	case !c.AcceptTerms:
		return "tls.acme.accept_terms", errors.New("want true: the CA gives certificates to who accepts its terms of service; read them where its directory says")
	case err != nil || u.User != nil || u.Fragment != "" || !fetch.Private(u):
		return "tls.acme.directory", fmt.Errorf("got %q, want the https URL of an ACME directory", fetch.Redact(c.Directory))
	case c.Contact != "" && !mailAddress(c.Contact):
		return "tls.acme.contact", fmt.Errorf("got %.40q, want a mail address such as ops@example.com", c.Contact)
	case len(names) > maxNames:
		return "tls.names", fmt.Errorf("got %d names with the issuer's host, want at most %d for one certificate", len(names), maxNames)
	}
	for _, name := range names {
		switch {
		case net.ParseIP(name) != nil:
			return "", fmt.Errorf("%s is an IP address: want DNS names alone in issuer and tls.names, since a public CA gives certificates for these", name)
		case strings.HasPrefix(name, "*."):
			return "", fmt.Errorf("%s is a wildcard, for which TLS-ALPN-01 is no proof (RFC 8737): want each name by itself in tls.names", name)
		case !strings.Contains(name, "."):
			return "", fmt.Errorf("%q is no public DNS name: want names that lead to this broker from everywhere in issuer and tls.names", name)
		}
	}
	return "", nil
}

// mailAddress tells whether a CA can take it. Whether mail arrives is not asked.
func mailAddress(s string) bool {
	name, host, ok := strings.Cut(s, "@")
	return ok && name != "" && host != "" && len(s) <= maxContact &&
		!strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == ',' || r == '?' || r == '"' }) && !strings.Contains(host, "@")
}

// client reaches the CA's service, which is known by the CAs of the file or else by those that come with the program.
func (c *certificate) client() (*http.Client, error) {
	pool := roots.Bundled()
	if c.CA != "" {
		text, err := fetch.File(c.CA, maxCAFile)
		if err != nil {
			return nil, err
		}
		pool = x509.NewCertPool()
		if !pool.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s: got no certificate, want PEM blocks of CERTIFICATE", c.CA)
		}
	}
	client := fetch.Client(pool)
	client.Transport = boundedAnswers{client.Transport}
	// What is sent is signed for one URL (RFC 8555 section 6.4): it makes no sense at another.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return client, nil
}

// boundedAnswers cuts answers off that are longer than any that makes sense: package acme reads them to their end.
type boundedAnswers struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b boundedAnswers) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		answer.Body = http.MaxBytesReader(nil, answer.Body, maxACME)
	}
	return answer, err
}
