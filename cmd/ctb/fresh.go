package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/cmd/ctb/internal/report"
	"github.com/confidential-token-broker/ctb/internal/fetch"
)

// freshJSON is what a fresh statement says: evidence that was made for a nonce, after it was asked for.
type freshJSON struct {
	Nonce       string         `json:"nonce"` // as it was sent: base64url
	Time        time.Time      `json:"time"`  // by the broker's clock
	AgeSeconds  int64          `json:"age_seconds"`
	Issuer      string         `json:"issuer"`
	RulesDigest string         `json:"rules_digest,omitempty"` // as in a policy: "sha256:…"
	Keys        []freshKeyJSON `json:"keys"`                   // those of the broker's document, in its order
}

type freshKeyJSON struct {
	KeyID   string `json:"kid"`
	Use     string `json:"use"`
	Covered bool   `json:"covered"` // the broker had its private half when the statement was made
}

// nonceSize is that of the nonces that this program makes, in bytes: nobody has seen the same one before.
const nonceSize = 32

// checkFresh refuses flags and sources that have no meaning with --fresh.
func (f *inspectFlags) checkFresh(source string) error {
	switch {
	case !f.fresh:
		return nil
	case !isURL(source):
		return usagef("name the broker's URL", "--fresh asks a broker, and %s is no URL", source)
	case !f.at.IsZero():
		return usagef("leave --at out", "--fresh and --at are both given: fresh evidence is of now")
	case f.scheme != "":
		return usagef("leave --scheme out", "--fresh and --scheme are both given: fresh evidence has one form")
	}
	return nil
}

// issuerAt returns the broker's own URL where its keys or its attestation are named.
func issuerAt(source string) string {
	u, err := url.Parse(source)
	if err != nil {
		return source
	}
	for _, known := range []string{keysPath, attest.WellKnownAttestation} {
		if path, found := strings.CutSuffix(u.Path, known); found {
			u.Path, u.RawQuery = path, ""
			return strings.TrimSuffix(u.String(), "/")
		}
	}
	return source
}

// inspectFresh asks a broker for evidence of now, and says what is known of it.
func inspectFresh(ctx context.Context, s streams, in reader, source string, f inspectFlags) error {
	source = issuerAt(source)
	judge, err := f.load(ctx, in, time.Now())
	if err != nil {
		return err
	}
	nonce := make([]byte, nonceSize)
	rand.Read(nonce) // never fails
	doc, err := attest.FetchFresh(ctx, in.anyServer(source).client, source, nonce)
	if err != nil {
		return notFresh(err)
	}
	x, err := judge.fresh(ctx, doc, nonce, source)
	if err != nil {
		return err
	}
	if f.json {
		err = writeJSON(s.out, x)
	} else {
		w := s.report()
		w.Title("Fresh evidence of " + fetch.Redact(source))
		x.print(w)
		err = w.Err()
	}
	// Of another broker, which somebody could have asked in between, it says nothing about this one.
	another := slices.ContainsFunc(x.Refusals, func(r refusalJSON) bool { return r.Key == "issuer" })
	if err == nil && (!x.Genuine || another || judge.policy != nil && !x.Accepted) {
		err = errNo
	}
	return err
}

// fresh says what is known of a document's fresh statement, which must be the issuer's.
func (j *judge) fresh(ctx context.Context, doc *attest.Attestation, nonce []byte, issuer string) (*finding, error) {
	j.staple = doc
	now := time.Now()
	x := j.begin(now)
	a, err := attest.AppraiseFresh(ctx, doc, nonce, attest.Config{URL: issuer, Policy: j.policy, Platforms: j.platforms})
	if err != nil {
		x = x.notGenuine(err)
		return &x, nil
	}
	j.facts(&x, a.Report)
	x.Fresh = &freshJSON{
		Nonce: base64.RawURLEncoding.EncodeToString(nonce), Time: a.Time.UTC(), AgeSeconds: int64(max(0, now.Sub(a.Time)) / time.Second),
		Issuer: a.Issuer, Keys: []freshKeyJSON{},
	}
	if a.RulesDigest != [32]byte{} {
		x.Fresh.RulesDigest = "sha256:" + hex.EncodeToString(a.RulesDigest[:])
	}
	for _, k := range a.Keys {
		x.Fresh.Keys = append(x.Fresh.Keys, freshKeyJSON(k))
	}
	x = x.judged(j.byDefault(a.Report, refusals(a.Err)))
	return &x, nil
}

// printFresh says what a fresh statement covers, and of when it is.
func (x *finding) printFresh(w *report.Writer) {
	f := x.Fresh
	if f == nil {
		return
	}
	w.Heading("What it says now")
	w.Check(report.Pass, "nonce", "made for ours, which nobody knew before: "+f.Nonce)
	age := "less than a second ago"
	if f.AgeSeconds > 0 {
		age = fmt.Sprintf("%d s ago", f.AgeSeconds)
	}
	w.Check(report.Pass, "made", fmt.Sprintf("%s, %s, by the broker's clock", show(f.Time), age))
	w.Row("issuer", f.Issuer)
	w.Row("rules", or(f.RulesDigest, "none are enforced"))
	covered := 0
	for _, k := range f.Keys {
		text := []string{k.KeyID, useName(k.Use)}
		if k.Covered {
			covered++
			w.Check(report.Pass, "has the key", text...)
		} else {
			w.Check(report.Warn, "not covered", append(text, "the statement does not name it: retired, or of before a restart")...)
		}
	}
	if covered == 0 {
		w.Check(report.Warn, "keys", "the statement covers none of the keys that the broker lists")
	}
}

// notFresh says what it means that a broker answers no fresh evidence.
func notFresh(err error) error {
	var status *fetch.StatusError
	fix := ""
	switch {
	case errors.As(err, &status) && (status.Code == http.StatusNotFound || status.Code == http.StatusBadRequest):
		fix = "this broker makes no fresh evidence, or is none: without --fresh, ctb inspect reads the evidence of its keys"
	case errors.As(err, &status) && status.Code == http.StatusTooManyRequests:
		fix = "the broker makes few quotes for each who asks: try again later"
	case errors.As(err, &status) && status.Code == http.StatusServiceUnavailable:
		fix = "the broker has no evidence to give at the moment, or too many ask: try again later"
	case errors.Is(err, attest.ErrNotFresh):
		fix = "this broker is of a version that makes no fresh evidence: without --fresh, ctb inspect reads the evidence of its keys"
	}
	return &fixedError{err, fix}
}

// fixedError is an error with what would help against it.
type fixedError struct {
	error
	fix string
}

func (e *fixedError) Unwrap() error { return e.error }
