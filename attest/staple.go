package attest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/confidential-token-broker/ctb/internal/fetch"
	"github.com/confidential-token-broker/ctb/internal/refetch"
)

// WellKnownAttestation is where a broker serves its [Attestation], below its issuer URL.
const WellKnownAttestation = "/.well-known/attestation"

const (
	// stapleWait is how long a judge waits for the document. It is short, since a TLS
	// handshake waits too, and then still has to ask the verifier's own source.
	stapleWait = 3 * time.Second
	// stapleAge is how long the document is used without asking again. Collateral lives for weeks.
	stapleAge = refetch.Refresh
)

// ErrNoAttestation is wrapped by the error of [FetchAttestation] where a broker serves none (status 404).
var ErrNoAttestation = errors.New("the broker serves no attestation document")

// FetchAttestation gets the document of the broker with this issuer URL (or URL of its keys at /.well-known/jwks.json).
//
// A nil client knows the server by nothing. That is safe because nothing of
// the document is believed but what the hardware's maker signed, whoever it came
// from, and nothing secret is sent. Whoever sits between can withhold the document, or serve other genuine
// collateral, older but still valid: Intel signs its older judgements anew, under their evaluation
// numbers (PCS API v4, tcbEvaluationDataNumber). TCBRule.EvaluationNumber bounds how old, and a verifier's own source is heard as well. The
// request takes at most 10 s and the answer has at most [MaxAttestation] bytes.
func FetchAttestation(ctx context.Context, client *http.Client, issuer string) (*Attestation, error) {
	return fetchOnce(ctx, client, issuer, nil)
}

// fetchOnce gets the document of the broker that a URL names, by a client of its own if that is nil.
func fetchOnce(ctx context.Context, client *http.Client, issuer string, query url.Values) (*Attestation, error) {
	_, base, err := splitURL(issuer)
	if err != nil {
		return nil, err
	}
	if base == "" {
		return nil, fmt.Errorf("attest: got URL %q, want that of an issuer or of its keys at %s", redact(issuer), wellKnownKeys)
	}
	if client == nil {
		client = fetch.AnyServer()
		defer client.CloseIdleConnections()
	}
	a, _, err := fetchAttestation(ctx, client, base, query)
	return a, err
}

func fetchAttestation(ctx context.Context, client *http.Client, issuer string, query url.Values) (*Attestation, time.Duration, error) {
	target, err := url.JoinPath(issuer, WellKnownAttestation)
	if err != nil {
		return nil, 0, err
	}
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	doc, err := fetch.JSON(ctx, client, target, MaxAttestation)
	var status *fetch.StatusError
	if errors.As(err, &status) && status.Code == http.StatusNotFound {
		return nil, 0, fmt.Errorf("%w: %w", ErrNoAttestation, err)
	}
	if err != nil {
		return nil, 0, err
	}
	a, err := ParseAttestation(doc.Body)
	if err != nil {
		return nil, 0, fmt.Errorf("GET %s: %w", fetch.Redact(target), err)
	}
	return a, doc.MaxAge, nil
}

// stapling asks one broker for its document, on behalf of all who judge its
// keys. It never asks more often than package refetch allows.
type stapling struct {
	fixed  *Attestation // a document at hand, and nobody is asked; else nil
	issuer string
	cache  *refetch.Cache[staple]
	now    func() time.Time
}

// staple is an answer of the broker.
type staple struct {
	doc     *Attestation // nil if the broker serves none
	askedAt time.Time
}

func newStapling(client *http.Client, issuer string, now func() time.Time) *stapling {
	if client == nil {
		client = fetch.AnyServer()
	}
	return &stapling{issuer: issuer, now: now, cache: refetch.New(func(ctx context.Context) (staple, time.Duration, error) {
		askedAt := now()
		doc, maxAge, err := fetchAttestation(ctx, client, issuer, nil)
		if errors.Is(err, ErrNoAttestation) {
			err = nil // which is an answer, too
		}
		return staple{doc, askedAt}, maxAge, err
	}, now)}
}

// get returns the document, nil if there is none. An older one serves while a newer can't be had.
func (s *stapling) get(ctx context.Context) (*Attestation, error) {
	if s.fixed != nil {
		return s.fixed, nil
	}
	if last, ok := s.cache.Current(); ok && s.now().Sub(last.askedAt).Abs() < stapleAge {
		return last.doc, nil
	}
	doc, err := s.newer(ctx)
	if doc == nil && err != nil {
		return nil, fmt.Errorf("staple: %w", err)
	}
	return doc, nil
}

// newer returns the newest document that may be asked for now, nil if there is none. While a newer can't be had it is the
// last one, and the error says why.
func (s *stapling) newer(ctx context.Context) (*Attestation, error) {
	if s.fixed != nil {
		return s.fixed, nil
	}
	last, ok := s.cache.Current()
	ctx, cancel := context.WithTimeout(ctx, stapleWait)
	defer cancel()
	newer, have, err := s.cache.Newer(ctx)
	switch {
	case have:
		return newer.doc, err
	case err == nil:
		err = errors.New("not fetched yet")
	}
	if ok {
		return last.doc, err
	}
	return nil, err
}

// stapled returns the collateral that the broker staples for evidence that
// brings none, nil if it does not. The error tells why it can't be had.
func (j *judge) stapled(ctx context.Context, e *Evidence) ([]byte, error) {
	if len(e.Collateral) > 0 || j.staple == nil {
		return nil, nil
	}
	doc, err := j.staple.get(ctx)
	if doc == nil || err != nil {
		return nil, err
	}
	return doc.Collateral[e.Platform], nil
}

// restapled returns collateral of a document that is newer than the one at hand, nil if there is none that differs.
func (j *judge) restapled(ctx context.Context, e *Evidence, stapled []byte) []byte {
	if len(e.Collateral) > 0 || j.staple == nil {
		return nil
	}
	doc, err := j.staple.newer(ctx)
	if doc == nil || err != nil || bytes.Equal(doc.Collateral[e.Platform], stapled) {
		return nil
	}
	return doc.Collateral[e.Platform]
}
