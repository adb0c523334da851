package kds

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/confidential-token-broker/ctb/internal/fetch"
)

const (
	maxAnswer = 64 << 10        // bytes of one document; genuine ones have 1 to 5 KiB
	maxQuiet  = 5 * time.Minute // for which a service is left alone at most, if it asks to be
)

// Error is a request that did not bring its document. Its text says where was asked, what came, and what that means for the platform.
type Error struct {
	What       string        // the document: "VCEK certificate", "certificate chain" or "revocation list"
	URL        string        // what was asked
	Status     int           // of the answer; 0 if none came, or a 200 that can't be used
	RetryAfter time.Duration // how long the service asks to be left alone; 0 if it does not
	err        error
}

func (e *Error) Error() string { return fmt.Sprintf("%s: GET %s: %v", e.What, e.URL, e.err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.err }

// get asks for one document and checks its form. Only a service that says "too many" or "not now" is asked
// again, at most twice, and not before it wants to be.
func (c *Client) get(ctx context.Context, what, url string, check func([]byte) error) ([]byte, error) {
	var body []byte
	err := fetch.Patience{Wait: c.wait, Now: c.now}.Ask(ctx, func() error {
		if left := c.quiet.left(c.clock()); left > 0 {
			return &Error{What: what, URL: url, RetryAfter: left, err: fmt.Errorf("not asked: the service wants to be left alone for another %v", left.Round(time.Second))}
		}
		client := c.HTTP
		if client == nil {
			client = systemClient()
		}
		doc, err := fetch.Get(ctx, client, fetch.Request{URL: url, Max: maxAnswer})
		if err == nil {
			if err = check(doc.Body); err == nil {
				body = doc.Body
				return nil
			}
		} else if cause := errors.Unwrap(err); cause != nil {
			err = cause // without the URL, which Error has
		}
		return c.refused(&Error{What: what, URL: url, err: err})
	})
	return body, err
}

// systemClient is made once, so that connections are used again.
var systemClient = sync.OnceValue(func() *http.Client { return fetch.Client(nil) })

// refused reads what the answer says beside that it is none.
func (c *Client) refused(e *Error) *Error {
	var status *fetch.StatusError
	if !errors.As(e.err, &status) {
		return e
	}
	now := c.clock()
	e.Status, e.RetryAfter = status.Code, fetch.RetryAfter(status.Header, now)
	if e.Status == http.StatusTooManyRequests {
		c.quiet.until(now.Add(min(e.RetryAfter, maxQuiet)))
	}
	if meaning := meaning(e.What, e.Status); meaning != "" {
		e.err = fmt.Errorf("%w: %s", e.err, meaning)
	}
	return e
}

func meaning(what string, status int) string {
	switch {
	case (status == http.StatusNotFound || status == http.StatusBadRequest) && what == "VCEK certificate":
		return "the service knows no chip of this id and product, or not with this TCB"
	case status == http.StatusNotFound:
		return "there is no such document: is the base URL right?"
	case status == http.StatusTooManyRequests:
		return "the service was asked too often"
	case status >= 500:
		return "the service is out of order; nothing is said about the platform"
	}
	return ""
}

// pause is the time until which a service is left alone, whoever asks.
type pause struct {
	mu  sync.Mutex
	end time.Time
}

func (p *pause) until(end time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if end.After(p.end) {
		p.end = end
	}
}

// left is how long the pause lasts. One that is longer than any may be was begun by a clock that was wrong then.
func (p *pause) left(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if left := p.end.Sub(now); left <= maxQuiet {
		return max(left, 0)
	}
	return 0
}

// What the answers must be. Whose they are is not asked here.

func isCertificate(der []byte) error {
	if _, err := x509.ParseCertificate(der); err != nil {
		return errors.New("want a certificate in DER")
	}
	return nil
}

func isCRL(der []byte) error {
	if list, err := x509.ParseRevocationList(der); err != nil || len(list.Raw) != len(der) {
		return errors.New("want a certificate revocation list in DER")
	}
	return nil
}

// isChain wants two certificates in PEM: the CA's, then the root's.
func isChain(text []byte) error {
	for range 2 {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil || block.Type != "CERTIFICATE" || isCertificate(block.Bytes) != nil {
			return errors.New("want the certificates of the CA and the root in PEM")
		}
	}
	if len(text) > 0 {
		return errors.New("got something behind the certificates of the CA and the root")
	}
	return nil
}
