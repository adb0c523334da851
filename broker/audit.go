package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/exchange"
	"github.com/confidential-token-broker/ctb/rules"
)

// Auditor records decisions. No record, no token: a token is given only after
// Record has returned nil for it. It is called by many goroutines at a time,
// and must not keep the event. Whoever asks for a token waits for it: it should give up in time.
//
// Refusals of askers who have not shown an id token that verifies are recorded up to
// a rate (1000 at once, 10 a second in the long run), so that nobody can fill a
// disk from outside; the next event tells how many were not. All others are recorded.
type Auditor interface {
	Record(ctx context.Context, e *Event) error
}

// Outcomes of an exchange.
const (
	Issued  = "issued"  // a token was given
	Refused = "refused" // the asker's fault
	Failed  = "failed"  // not the asker's fault
)

// Event is one decision. It holds no token and no key: a token is named by its SHA-256.
type Event struct {
	Time    time.Time `json:"time"`
	ID      string    `json:"id"`      // of the request; the asker has it too, as X-Request-Id
	Outcome string    `json:"outcome"` // Issued, Refused or Failed

	Code   string `json:"code,omitempty"`   // what the asker was told
	Reason string `json:"reason,omitempty"` // why; for no one but the audit

	// Of the id token, once it was verified.
	IDP     string `json:"idp,omitempty"`
	Subject string `json:"sub,omitempty"`

	// Of the rule that fits.
	Rule     string   `json:"rule,omitempty"`
	ClientID string   `json:"client_id,omitempty"`
	Audience []string `json:"audience,omitempty"`
	Scope    []string `json:"scope,omitempty"`

	// Of the access token.
	TokenID     string `json:"jti,omitempty"`
	TokenSHA256 string `json:"token_sha256,omitempty"` // hex, over the compact form
	KeyID       string `json:"kid,omitempty"`

	Remote string `json:"remote,omitempty"` // the address that asked, as the listener saw it

	// How many refusals before authentication were not recorded since the event before.
	Unrecorded int64 `json:"unrecorded,omitzero"`
}

func (b *Broker) newEvent(a asker) *Event {
	if a.id == "" {
		a.id = newID()
	}
	return &Event{Time: b.config.Now().UTC(), ID: a.id, Remote: a.remote}
}

func (e *Event) authenticated(t *ctb.Token) { e.IDP, e.Subject = t.Issuer, t.Subject }

func (e *Event) decided(d *rules.Decision) {
	e.Rule, e.ClientID, e.Audience, e.Scope = d.Rule, d.ClientID, d.Audience, d.Scope
}

func (e *Event) issued(k *signer, m *minted) {
	e.Outcome, e.TokenID, e.TokenSHA256, e.KeyID = Issued, m.id, m.sha256, k.id
}

// record writes an event. If it can't, the caller must not go on.
func (b *Broker) record(ctx context.Context, e *Event) error {
	e.Unrecorded = b.flood.take()
	// The record must not be lost because the asker went away.
	err := b.config.Audit.Record(context.WithoutCancel(ctx), e)
	if ok := err == nil; ok != b.auditOK.Load() {
		b.auditOK.Store(ok)
	}
	if err != nil {
		b.flood.putBack(e.Unrecorded)
		b.config.Logger.Error("the audit could not record an exchange", "id", e.ID, "err", err)
		return fmt.Errorf("%w: %w", errRecord, err)
	}
	return nil
}

// refused records a refusal and returns the asker's answer.
func (b *Broker) refused(ctx context.Context, e *Event, reason error) *exchange.Error {
	refusal := refusalOf(reason)
	if errors.Is(reason, errRecord) {
		return refusal // to record that it can't be recorded is not tried
	}
	e.Outcome, e.Code, e.Reason = Refused, refusal.Code, bounded(reason.Error())
	if status(refusal, strict) >= 500 {
		e.Outcome = Failed
	}
	if e.IDP == "" && !b.flood.admits(e.Time) { // nobody who could be named
		return refusal
	}
	// Nothing was given, so the refusal stands even without its record; record has logged that.
	_ = b.record(ctx, e)
	return refusal
}

// maxReason bounds what a hostile token can write into the audit, in bytes.
const maxReason = 512

func bounded(reason string) string {
	if len(reason) <= maxReason {
		return reason
	}
	return reason[:maxReason] + "…"
}
