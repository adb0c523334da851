package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/confidential-token-broker/ctb/cmd/ctb-gateway/internal/config"
	"github.com/confidential-token-broker/ctb/cmd/ctb-gateway/internal/live"
	"github.com/confidential-token-broker/ctb/gateway"
	"github.com/confidential-token-broker/ctb/gateway/credential"
	"github.com/confidential-token-broker/ctb/internal/fetch"
	"github.com/confidential-token-broker/ctb/internal/roots"
)

// What is read from files, in the words of logs and metrics.
const (
	whatConfig      = "configuration"
	whatKeys        = "keys"
	whatWhitelist   = "whitelist"
	whatCertificate = "tls certificate"
	whatUpstream    = "upstream certificates"
)

// liveWhitelist is a credential.Source: the whitelist as it was read last.
type liveWhitelist struct {
	*live.Value[*credential.Whitelist]
}

// Whitelist implements credential.Source.
func (w liveWhitelist) Whitelist() *credential.Whitelist { return w.Get() }

// emptyAfter is how long a whitelist must have had no key before that is believed: a
// file that somebody is writing may have its header alone for a moment.
const emptyAfter = 5 * time.Second

func openWhitelist(c *config.Config, set, before *live.Set) (liveWhitelist, error) {
	path := c.Whitelist.Path
	var opened bool
	var empty time.Time // when the list was found without a key; zero: it has some
	value, err := live.Take(set, before, whatWhitelist, path, []string{path}, func() (*credential.Whitelist, error) {
		text, err := fetch.File(path, credential.MaxWhitelist)
		if err != nil {
			return nil, c.Fault(c.Whitelist.Key, "%w", err)
		}
		list, err := credential.ParseWhitelist(text)
		switch {
		case errors.Is(err, credential.ErrNoKeys) && opened && (empty.IsZero() || time.Since(empty) > 4*emptyAfter):
			empty = time.Now() // long ago it was another time: in between it may have been again as it was, and not been read
		case errors.Is(err, credential.ErrNoKeys) && opened && time.Since(empty) >= emptyAfter:
			return new(credential.Whitelist), nil
		case err == nil:
			empty = time.Time{}
		}
		if err != nil {
			return nil, c.Fault(c.Whitelist.Key, "%s: %w", path, err)
		}
		return list, nil
	})
	opened = true
	return liveWhitelist{value}, err
}

// openCertificate reads the gateway's own certificate.
func openCertificate(c *config.Config, set, before *live.Set) (*live.Value[*tls.Certificate], error) {
	t := *c.TLS
	return live.Take(set, before, whatCertificate, fmt.Sprintf("%#v", t), []string{t.Certificate, t.Key}, func() (*tls.Certificate, error) {
		pair, err := keyPair(t.Certificate, t.Key)
		if err != nil {
			return nil, c.Fault("tls", "%w", err)
		}
		return pair, nil
	})
}

// keyPair reads a certificate and its key. Errors name the file, and nothing that is in it.
func keyPair(certificate, key string) (*tls.Certificate, error) {
	chain, err := fetch.File(certificate, maxFile)
	if err != nil {
		return nil, err
	}
	secret, err := fetch.File(key, maxFile)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(chain, secret)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", certificate, key, err)
	}
	return &pair, nil
}

// liveTransport goes to the upstream by the certificates that were read last.
// Connections that are open stay as they are.
type liveTransport struct{ *live.Value[*http.Transport] }

// RoundTrip implements http.RoundTripper.
func (t liveTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	return t.Get().RoundTrip(r)
}

// upstreamSpec is all that decides how the upstream is reached.
type upstreamSpec struct {
	CAs, Certificate, Key, ServerName string
	Connect, Answer                   time.Duration
}

func openTransport(c *config.Config, set, before *live.Set) (liveTransport, error) {
	u := c.Upstream
	spec := upstreamSpec{u.CAs, u.Certificate, u.Key, u.ServerName, c.Timeouts.Connect, c.Timeouts.Answer}
	value, err := live.Take(set, before, whatUpstream, fmt.Sprintf("%#v", spec), []string{u.CAs, u.Certificate, u.Key}, func() (*http.Transport, error) {
		trust, err := spec.tls()
		if err != nil {
			return nil, c.Fault("upstream", "%w", err)
		}
		t := gateway.NewTransport()
		t.TLSClientConfig = trust
		t.DialContext = (&net.Dialer{Timeout: spec.Connect, KeepAlive: 30 * time.Second}).DialContext
		t.TLSHandshakeTimeout = spec.Connect
		t.ResponseHeaderTimeout = spec.Answer
		return t, nil
	})
	return liveTransport{value}, err
}

// tls says how the upstream is known, and who the gateway is to it.
func (s upstreamSpec) tls() (*tls.Config, error) {
	pool, err := readCAs(s.CAs)
	if err != nil {
		return nil, err
	}
	c := &tls.Config{RootCAs: pool, ServerName: s.ServerName, MinVersion: tls.VersionTLS12}
	if s.Certificate != "" {
		pair, err := keyPair(s.Certificate, s.Key)
		if err != nil {
			return nil, err
		}
		c.Certificates = []tls.Certificate{*pair}
	}
	return c, nil
}

// readCAs reads a file of CA certificates, PEM. Without a file they are the public ones that come with the program.
func readCAs(path string) (*x509.CertPool, error) {
	if path == "" {
		return roots.Bundled(), nil
	}
	data, err := fetch.File(path, maxFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(bytes.TrimSpace(data)) {
		return nil, fmt.Errorf("%s: %w", path, errors.New("got no certificate, want PEM blocks of CERTIFICATE"))
	}
	return pool, nil
}
