package broker

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/exchange"
	"github.com/confidential-token-broker/ctb/rules"
)

// asker is what is known of who asks, for the audit.
type asker struct {
	id     string // of the request
	remote string // its address, as the listener saw it
}

// profile is the form of the tokens of one endpoint.
type profile int

const (
	strict   profile = iota // RFC 9068
	original                // the original broker's claims, in its order
)

// exchange makes one exchange and records it, whatever its outcome. The error is an *exchange.Error.
func (b *Broker) exchange(ctx context.Context, a asker, p profile, r *exchange.Request) (*exchange.Response, error) {
	event := b.newEvent(a)
	response, err := b.issue(ctx, event, p, r)
	if err != nil {
		return nil, b.refused(ctx, event, err)
	}
	return response, nil
}

// issue is the one path to a token. Its steps stand here and nowhere else.
func (b *Broker) issue(ctx context.Context, event *Event, p profile, r *exchange.Request) (*exchange.Response, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	// One look: the rules that decide and the key that signs belong together.
	epoch := b.ring.current.Load()

	// 1 Authenticate.
	subject, err := epoch.issuers.authenticate(ctx, r.SubjectToken)
	if err != nil {
		return nil, err
	}
	event.authenticated(subject)
	// 2 Decide.
	decision, err := decide(epoch.rules, subject, r)
	if err != nil {
		return nil, err
	}
	event.decided(decision)
	// 3 Mint.
	minted, err := b.mint(epoch.key, p, subject, decision)
	if err != nil {
		return nil, err
	}
	// 4 Record. No record, no token.
	event.issued(epoch.key, minted)
	if err := b.record(ctx, event); err != nil {
		return nil, err
	}
	return response(r, decision, minted), nil
}

// decide asks the rules. Audience and resource are two ways to name a target
// (RFC 8693 section 2.1): the token is wanted for all of them.
func decide(s *rules.Set, subject *ctb.Token, r *exchange.Request) (*rules.Decision, error) {
	targets := r.Audience
	if len(r.Resource) > 0 {
		targets = append(targets[:len(targets):len(targets)], r.Resource...)
	}
	d, err := s.Decide(subject, rules.Request{Audience: targets, Scope: r.Scope})
	if err != nil {
		return nil, err
	}
	// A client that names itself must be the one that the id token was issued to.
	if r.ClientID != "" && r.ClientID != d.ClientID {
		return nil, fmt.Errorf("%w: got client_id %q, the rule is for %q", errClient, r.ClientID, d.ClientID)
	}
	return d, nil
}

func response(r *exchange.Request, d *rules.Decision, m *minted) *exchange.Response {
	issued := r.RequestedTokenType
	if issued == "" {
		issued = exchange.TypeAccessToken
	}
	return &exchange.Response{
		AccessToken:     m.token,
		IssuedTokenType: issued,
		TokenType:       "Bearer",
		ExpiresIn:       m.expiresIn,
		Scope:           strings.Join(d.Scope, " "),
	}
}

// newID returns 128 random bits as text.
func newID() string { return rand.Text() }
