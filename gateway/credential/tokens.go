package credential

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/gateway/access"
)

// Issuer is one issuer whose tokens are accepted.
type Issuer struct {
	// Name is the exact "iss"; empty for a verifier of any issuer, which must be the only one.
	Name string
	// Verifier has the issuer's own keys, audience and type. See [Narrow] for its algorithms.
	Verifier *ctb.Verifier
}

// Tokens is the authenticator of bearer tokens. Exactly one may stand in a request, in all
// places together (RFC 6750 section 2). It is safe for concurrent use.
type Tokens struct {
	issuers map[string]Issuer
	only    *Issuer // if there is one alone: it needs no choice
	places  []Place
	holders *identities
}

// NewTokens returns the authenticator of the issuers' tokens. Without places, Authorization is the only one.
func NewTokens(issuers []Issuer, places ...Place) (*Tokens, error) {
	if len(issuers) == 0 {
		return nil, errors.New("issuers: none, so that no token would be accepted")
	}
	t := &Tokens{issuers: map[string]Issuer{}, holders: newIdentities()}
	for i, issuer := range issuers {
		switch _, twice := t.issuers[issuer.Name]; {
		case issuer.Verifier == nil:
			return nil, fmt.Errorf("issuers[%d]: has no verifier", i)
		case issuer.Name == "" && len(issuers) > 1:
			return nil, fmt.Errorf("issuers[%d]: has no name, by which to choose it among %d", i, len(issuers))
		case twice:
			return nil, fmt.Errorf("issuers[%d]: %q stands twice", i, issuer.Name)
		}
		t.issuers[issuer.Name] = issuer
	}
	if len(issuers) == 1 {
		only := issuers[0]
		t.only = &only
	}
	if len(places) == 0 {
		places = []Place{{Kind: Authorization}}
	}
	for i, p := range places {
		if err := p.Validate(); err != nil {
			return nil, err
		}
		if p.Kind == Header {
			p.Name = http.CanonicalHeaderKey(p.Name)
		}
		if slices.Contains(t.places, p) {
			return nil, fmt.Errorf("token places[%d]: %s stands twice", i, p)
		}
		t.places = append(t.places, p)
	}
	return t, nil
}

// Authenticate implements access.Authenticator.
func (t *Tokens) Authenticate(r *http.Request) (*access.Identity, error) {
	var f found
	for _, p := range t.places {
		p.find(r.Header, r.URL.RawQuery, &f)
	}
	raw, refusal := f.one()
	if refusal != nil {
		return nil, refusal
	}
	token, err := t.verify(r.Context(), raw)
	if err != nil {
		refusal = refusalOf(err)
		refusal.Fingerprint = fingerprint(raw)
		return nil, refusal
	}
	return t.holders.of(token), nil
}

// verify has the token judged by its issuer. What it says of itself only chooses whose keys it is judged by.
func (t *Tokens) verify(ctx context.Context, raw string) (*ctb.Token, error) {
	issuer := t.only
	if issuer == nil {
		name, err := ctb.UnverifiedIssuer(raw)
		if err != nil {
			return nil, err
		}
		if issuer, err = t.issuer(name); err != nil {
			return nil, err
		}
	}
	token, err := issuer.Verifier.Verify(ctx, raw)
	if err != nil {
		return nil, err
	}
	return token, issuer.owns(token)
}

// otherIssuer is the fault of a token whose issuer is not accepted.
type otherIssuer struct{ name string }

func (e otherIssuer) Error() string {
	return fmt.Sprintf("invalid token: no accepted issuer is %.200q", e.name)
}

func (t *Tokens) issuer(name string) (*Issuer, error) {
	if t.only != nil {
		return t.only, nil
	}
	issuer, ok := t.issuers[name]
	if !ok {
		return nil, otherIssuer{name}
	}
	return &issuer, nil
}

// owns holds also if the verifier would accept any issuer.
func (i *Issuer) owns(token *ctb.Token) error {
	if i.Name != "" && token.Issuer != i.Name {
		return otherIssuer{token.Issuer}
	}
	return nil
}

// Strip implements access.Authenticator.
func (t *Tokens) Strip(header http.Header, rawQuery string) string {
	for _, p := range t.places {
		rawQuery = p.strip(header, rawQuery)
	}
	return rawQuery
}

// Still implements access.Authenticator.
func (t *Tokens) Still(r *http.Request, who *access.Identity) error {
	if who == nil || who.Token == nil {
		return refuseToken(access.MissingCredential, "only tokens are accepted")
	}
	issuer, err := t.issuer(who.Token.Issuer)
	if err == nil {
		err = issuer.owns(who.Token)
	}
	if err == nil {
		err = issuer.Verifier.Current(r.Context(), who.Token)
	}
	if err != nil {
		return refusalOf(err)
	}
	return nil
}

// Subprotocol implements access.Subprotocol.
func (t *Tokens) Subprotocol(header http.Header) string {
	if slices.Contains(t.places, Place{Kind: WebSocketProtocol}) {
		return announcement(header)
	}
	return ""
}

// retryAfter is when keys that cannot be had may be there: the source is asked again within 30 s.
const retryAfter = 5 * time.Second

// refusalOf is the one place where an error of a verifier becomes a refusal.
func refusalOf(err error) *access.Refusal {
	if errors.As(err, new(otherIssuer)) {
		return &access.Refusal{Reason: access.InvalidToken, Mode: access.JWT, Fault: ctb.WrongIssuer, Public: "the token is from another issuer", Err: err}
	}
	if fault := ctb.FaultOf(err); fault != "" {
		return &access.Refusal{Reason: access.InvalidToken, Mode: access.JWT, Fault: fault, Public: ctb.PublicOf(err), Err: err}
	}
	return &access.Refusal{Reason: access.KeysUnavailable, Mode: access.JWT, Public: "the token can't be checked now", Err: err, RetryAfter: retryAfter}
}

// fingerprint is the beginning of the SHA-256 of a token, in hex.
func fingerprint(raw string) string {
	sum := sha256.Sum256([]byte(raw))
	return hex.EncodeToString(sum[:6])
}
