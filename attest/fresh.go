package attest

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/confidential-token-broker/ctb/internal/fetch"
)

// freshAge is how old a fresh statement may be, beside what clocks may be apart.
const freshAge = time.Minute

// Fresh is a fresh statement: evidence over nonces that nobody knew before they were asked with, so that it
// was made after that. It binds no key to a use, as the evidence in a certificate does, and neither can be
// taken for the other: their claims have no form in common.
type Fresh struct {
	Platform string `json:"platform"` // as in [Evidence]
	Quote    []byte `json:"quote"`    // base64 in JSON (RFC 4648 section 4), like the claims
	Claims   []byte `json:"claims"`   // CBOR, whose SHA-256 is the report data
}

// NewFresh has q make a fresh statement. One quote answers all the nonces of c, whatever their order.
func NewFresh(ctx context.Context, q Quoter, c FreshClaims) (*Fresh, error) {
	claimed, err := c.marshal()
	if err != nil {
		return nil, err
	}
	e, err := q.Quote(ctx, reportData(claimed))
	if err != nil {
		return nil, fmt.Errorf("fresh evidence: quote: %w", err)
	}
	f := &Fresh{Platform: e.Platform, Quote: e.Quote, Claims: claimed}
	if err := f.check(); err != nil {
		return nil, err
	}
	return f, nil
}

// check tells whether the statement can be one, by its form.
func (f *Fresh) check() error {
	switch {
	case !platformName.MatchString(f.Platform):
		return fmt.Errorf("fresh evidence: got platform %q, want a name such as %q", clip(f.Platform), platformIntel)
	case len(f.Quote) == 0 || len(f.Quote) > maxEvidence:
		return fmt.Errorf("fresh evidence: got a quote of %d bytes, want 1 to %d", len(f.Quote), maxEvidence)
	case len(f.Claims) == 0 || len(f.Claims) > maxClaims:
		return fmt.Errorf("fresh evidence: got claims of %d bytes, want 1 to %d", len(f.Claims), maxClaims)
	}
	return nil
}

// FetchFresh asks the broker with this issuer URL for its document with a fresh statement, at
// /.well-known/attestation?nonce=. The nonce is the asker's own, random, and used once.
//
// As for [FetchAttestation], a nil client knows the server by nothing, and nothing of the answer is believed until
// [CheckFresh] has judged it. A broker makes few quotes at a time, so it may answer that it is asked too
// often: the error then says what it asks to wait.
func FetchFresh(ctx context.Context, client *http.Client, issuer string, nonce []byte) (*Attestation, error) {
	if err := checkNonce(nonce); err != nil {
		return nil, err
	}
	doc, err := fetchOnce(ctx, client, issuer, url.Values{"nonce": {base64.RawURLEncoding.EncodeToString(nonce)}})
	var status *fetch.StatusError
	if errors.As(err, &status) && status.Header.Get("Retry-After") != "" {
		return nil, fmt.Errorf("%w; it asks to wait %s s", err, clip(status.Header.Get("Retry-After")))
	}
	if err != nil {
		return nil, err
	}
	if doc.Fresh == nil {
		return nil, ErrNotFresh
	}
	return doc, nil
}

// ErrNotFresh is the error where a document has no fresh statement, as of brokers that make none.
var ErrNotFresh = errors.New(`fresh evidence: the document has none: no "fresh"`)

// FreshAppraisal is what is known of a fresh statement that is genuine, answers the nonce, and is of now.
type FreshAppraisal struct {
	Report      *Report    // the facts of its evidence
	Issuer      string     // as the statement has it
	RulesDigest [32]byte   // SHA-256 of the rules that the broker enforces, zero if it enforces none
	Time        time.Time  // when the statement was made, by the broker's clock
	Keys        []FreshKey // those of the document, in its order
	// Err is nil if the statement would be trusted. Else it is a *RefusalError, with every reason.
	Err error
}

// FreshKey is one key of the document.
type FreshKey struct {
	KeyID string // as the document calls it
	Use   string // as the document has it
	// Covered tells that the key, which is the one in the document's certificate, was the broker's when the statement was
	// made. What it is for and whether it is to be trusted is said by the evidence in that certificate alone.
	Covered bool
}

// CheckFresh judges the fresh statement of a document: 1 it answers the nonce, 2 its time is now, give or take a minute
// and what clocks may be apart, 3 it is genuine, by the collateral that is stapled to the document and by
// that of c.Platforms, 4 it is of a build and under rules that c.Policy accepts, and of the issuer.
//
// The issuer is that of the policy or, if it names none, c.Issuer or else the one that c.URL names;
// one of them is wanted, since another broker of the same build would answer as well. c.Client and c.Staple are not used.
//
// A statement that is good says that the broker is there, and not that it is who handed it over: anybody can ask it on behalf of others.
// Who is at the other end of a connection is told by [TLSConfig].
func CheckFresh(ctx context.Context, doc *Attestation, nonce []byte, c Config) (*FreshAppraisal, error) {
	j, err := newJudge(c)
	if err != nil {
		return nil, err
	}
	if err := j.expectOf(c.URL); err != nil {
		return nil, err
	}
	a, err := j.fresh(ctx, doc, nonce)
	if err == nil {
		err = a.Err
	}
	if err != nil {
		return nil, err
	}
	return a, nil
}

// AppraiseFresh tells what [CheckFresh] judges by, for looking. Without a policy it tells whether the
// statement is genuine, answers the nonce and is of now; with one, a.Err has what is refused.
// The issuer is compared if the policy, c.Issuer or c.URL names one.
func AppraiseFresh(ctx context.Context, doc *Attestation, nonce []byte, c Config) (*FreshAppraisal, error) {
	j, err := newLook(c)
	if err != nil {
		return nil, err
	}
	if c.URL != "" && j.issuer == "" && (c.Policy == nil || c.Policy.Issuer == "") {
		if _, j.issuer, err = splitURL(c.URL); err != nil {
			return nil, err
		}
	}
	return j.fresh(ctx, doc, nonce)
}

// expectOf makes the issuer that a URL names the one that evidence must be of, as NewKeySet does.
func (j *judge) expectOf(raw string) error {
	if raw == "" {
		return j.expect("")
	}
	_, issuer, err := splitURL(raw)
	if err != nil {
		return err
	}
	if err := j.expect(issuer); err != nil {
		return fmt.Errorf("attest: %s %w", redact(raw), err)
	}
	return nil
}

// fresh judges the document's statement.
func (j *judge) fresh(ctx context.Context, doc *Attestation, nonce []byte) (*FreshAppraisal, error) {
	if doc == nil || doc.Fresh == nil {
		return nil, ErrNotFresh
	}
	if err := checkNonce(nonce); err != nil {
		return nil, err
	}
	if err := doc.Fresh.check(); err != nil {
		return nil, err
	}
	c, err := parseFreshClaims(doc.Fresh.Claims)
	if err != nil {
		return nil, fmt.Errorf("fresh evidence: %w", err)
	}
	if err := c.answers(nonce, j.now()); err != nil {
		return nil, fmt.Errorf("fresh evidence: %w", err)
	}
	j.hold(doc) // for its collateral
	b := c.binding()
	s := &statement{
		evidence: &Evidence{Platform: doc.Fresh.Platform, Quote: doc.Fresh.Quote},
		data:     reportData(doc.Fresh.Claims),
		binding:  b,
		checks:   func() error { return nil },
	}
	o := j.opinion(ctx, s, within(j.now(), b.Issued, b.Expires), func(a *Appraisal) []Refusal { return j.refusals(a, useFresh) })
	if o.err != nil {
		return nil, fmt.Errorf("fresh %w", o.err)
	}
	return &FreshAppraisal{
		Report: o.appraisal.Report, Issuer: b.Issuer, RulesDigest: b.RulesDigest, Time: b.Issued,
		Keys: c.covers(doc.Keys), Err: j.verdict(o.refused),
	}, nil
}
