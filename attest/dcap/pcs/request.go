package pcs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/confidential-token-broker/ctb/internal/fetch"
)

const maxAnswer = 512 << 10 // bytes of one document; genuine ones have 1 to 20 KiB

// Error is a request that did not bring its document. Its text says where was
// asked, what came, and what that means for the platform; it never has the API key.
type Error struct {
	What       string        // the document: "TCB info", "QE identity", "PCK CRL" or "root CRL"
	URL        string        // what was asked; without a query unless that is ours
	Status     int           // of the answer; 0 if none came, or a 200 that can't be used
	RetryAfter time.Duration // how long the service asks to be left alone; 0 if it does not
	err        error
}

func (e *Error) Error() string { return fmt.Sprintf("%s: GET %s: %v", e.What, e.URL, e.err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.err }

// get asks for one document and reads it. Only a service that says "too many"
// or "not now" is asked again, at most twice, and not before it wants to be.
func (c *Client) get(ctx context.Context, r *request) error {
	return fetch.Patience{Now: c.now, Wait: c.wait}.Ask(ctx, func() error {
		if err := c.ask(ctx, r); err != nil {
			return err
		}
		return nil
	})
}

// ask asks once.
func (c *Client) ask(ctx context.Context, r *request) *Error {
	q := fetch.Request{URL: r.url, Max: maxAnswer, Header: http.Header{}}
	if r.from != nil && c.APIKey != "" {
		q.Header.Set("Ocp-Apim-Subscription-Key", c.APIKey)
	}
	client := c.HTTP
	if client == nil {
		client = systemClient()
	}
	doc, err := fetch.Get(ctx, client, q)
	if err == nil {
		if err = r.read(doc); err == nil {
			return nil
		}
	} else if cause := errors.Unwrap(err); cause != nil {
		err = cause // without the URL, which Error has
	}
	e := &Error{What: r.what, URL: r.shown()}
	var status *fetch.StatusError
	if errors.As(err, &status) {
		e.Status, e.RetryAfter = status.Code, fetch.RetryAfter(status.Header, c.clock())
	}
	if meaning := r.meaning(e.Status, err); meaning != "" {
		err = fmt.Errorf("%w: %s", err, meaning)
	}
	e.err = c.withoutKey(err)
	return e
}

// shown is the URL for an error: the query of a base URL's document is made here, and says which platform it is about.
func (r *request) shown() string {
	if r.from == nil {
		return fetch.Redact(r.url)
	}
	return r.url
}

// withoutKey keeps the key out of the error even if the server sent it back, in
// a header that net/http quotes as malformed, say.
func (c *Client) withoutKey(err error) error {
	if c.APIKey == "" || !strings.Contains(err.Error(), c.APIKey) {
		return err
	}
	return errors.New(strings.ReplaceAll(err.Error(), c.APIKey, "(the API key)"))
}

// clock is the time that a Retry-After which is a date is measured by.
func (c *Client) clock() time.Time {
	if c.now == nil {
		return time.Now()
	}
	return c.now()
}
