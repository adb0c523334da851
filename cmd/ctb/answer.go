package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

// question is a token, and what is asked of it.
type question struct {
	judge                 *judge
	raw                   string
	jwks                  []byte
	issuer, audience, typ string // an empty issuer or audience is not asked for
	rules                 []rule
	at, evidenceAt        time.Time
}

// answer is what verify says, and its JSON form: names are stable, and
// members are only ever added.
type answer struct {
	Accepted   bool            `json:"accepted"`
	Reasons    []string        `json:"reasons"` // why not; never null
	At         time.Time       `json:"at"`
	EvidenceAt *time.Time      `json:"evidence_at,omitempty"` // absent without a policy
	Checks     []check         `json:"checks"`
	Claims     json.RawMessage `json:"claims,omitempty"` // the claims set, if the token is accepted
	Key        *finding        `json:"key,omitempty"`    // the evidence of the key, as "inspect" gives it
}

// check is one step.
type check struct {
	Name   string `json:"name"`   // format, signature, claims, type, issuer, audience, lifetime, evidence, collateral, certificate, policy, key, token, "scope NAME", "claim NAME"
	Result string `json:"result"` // "ok", "no", "not checked"
	Detail string `json:"detail,omitempty"`
	Fix    string `json:"fix,omitempty"` // what would make it pass
}

// Results of a check.
const (
	ok         = "ok"
	no         = "no"
	notChecked = "not checked"
)

func (a *answer) add(name string, err error, detail string) *check {
	c := check{Name: name, Result: ok, Detail: detail}
	if err != nil {
		c.Result, c.Detail = no, err.Error()
		a.Reasons = append(a.Reasons, name+": "+c.Detail)
	}
	a.Checks = append(a.Checks, c)
	return &a.Checks[len(a.Checks)-1]
}

func (a *answer) skip(name, detail string) {
	a.Checks = append(a.Checks, check{Name: name, Result: notChecked, Detail: detail})
}

// answer asks everything, one thing at a time, so that the reader sees all
// that is wrong. None of the steps decides: the last line is the one verifier with
// everything asked at once, and a token is accepted only if that accepts it.
func (q question) answer(ctx context.Context) *answer {
	a := &answer{Reasons: []string{}, At: q.at.UTC().Truncate(time.Second)}
	if q.judge.policy != nil {
		a.EvidenceAt = new(q.evidenceAt.UTC().Truncate(time.Second))
	}
	msg, err := jose.Parse(q.raw)
	if err != nil {
		a.add("format", err, "").fix(q.formatFix())
		return a
	}
	unverified, err := ctb.UnverifiedToken(msg.Payload)
	if err != nil {
		a.add("format", err, "")
		return a
	}
	a.add("format", nil, fmt.Sprintf("compact JWS, %s, key %s", msg.Header.Algorithm, msg.Header.KeyID))
	q.token(ctx, a, msg, unverified)
	keys := q.key(ctx, a, msg, unverified)

	v, err := ctb.NewVerifier(ctb.Config{
		Issuer: q.issuer, AnyIssuer: q.issuer == "", Audience: q.audience, AnyAudience: q.audience == "",
		Keys: keys, Type: q.typ, Now: q.now(q.at),
	})
	var accepted *ctb.Token
	if err == nil {
		accepted, err = v.Verify(ctx, q.raw)
	}
	for _, r := range q.rules {
		if err == nil {
			err = accepted.Satisfies(r.Requirement)
		}
	}
	if err != nil && len(a.Reasons) == 0 {
		a.add("token", err, "")
	}
	if a.Accepted = err == nil && len(a.Reasons) == 0; a.Accepted {
		a.Claims = msg.Payload
	}
	return a
}

func (q question) now(t time.Time) func() time.Time { return func() time.Time { return t } }

// token asks what the token itself answers for. Each step is the verifier
// with one thing asked and everything else granted.
func (q question) token(ctx context.Context, a *answer, msg *jose.Message, t *ctb.Token) {
	keys := q.signature(ctx, a, msg)
	if keys == nil {
		return // what it says is then nobody's word
	}
	// An instant at which the token itself is surely alive.
	granted := ctb.Config{
		AnyIssuer: true, AnyAudience: true, Keys: keys,
		Type: or(msg.Header.Type, ctb.IDToken), Now: q.now(t.Expiry),
	}
	ask := func(change func(*ctb.Config)) error {
		c := granted
		change(&c)
		v, err := ctb.NewVerifier(c)
		if err != nil {
			return err
		}
		_, err = v.Verify(ctx, q.raw)
		return plainer(err)
	}
	if err := ask(func(*ctb.Config) {}); err != nil {
		a.add("claims", err, "")
		return
	}
	a.add("type", ask(func(c *ctb.Config) { c.Type = q.typ }), or(msg.Header.Type, "none")).
		fix("if tokens of this type are what you expect: --type " + or(msg.Header.Type, ctb.IDToken))
	if q.issuer == "" {
		a.skip("issuer", t.Issuer+" (ask for it with --issuer)")
	} else {
		a.add("issuer", ask(func(c *ctb.Config) { c.Issuer, c.AnyIssuer = q.issuer, false }), t.Issuer)
	}
	if q.audience == "" {
		a.skip("audience", strings.Join(t.Audience, " ")+" (ask for one with --audience)")
	} else {
		a.add("audience", ask(func(c *ctb.Config) { c.Audience, c.AnyAudience = q.audience, false }), q.audience)
	}
	life := fmt.Sprintf("expires %s", show(t.Expiry))
	if !t.IssuedAt.IsZero() {
		life = fmt.Sprintf("issued %s, %s", show(t.IssuedAt), life)
	}
	a.add("lifetime", ask(func(c *ctb.Config) { c.Now = q.now(q.at) }), life).
		fix("get a fresh token; --at judges an old one at its time")
	a.ask(q.rules, t)
}

// signature asks whether one of the keys signed the token. It returns the keys, nil if none did.
func (q question) signature(ctx context.Context, a *answer, msg *jose.Message) ctb.KeySet {
	keys, err := ctb.ParseKeys(q.jwks)
	if err != nil {
		a.add("signature", fmt.Errorf("--jwks: %w", err), "")
		return nil
	}
	key, err := keys.Key(ctx, msg.Header.KeyID)
	if err == nil {
		err = msg.Verify(key.Algorithm, key.Public)
	}
	if a.add("signature", err, "made by this key"); err != nil {
		return nil
	}
	return keys
}

// fix says of a check that did not pass what would make it pass.
func (c *check) fix(text string) {
	if c.Result == no && text != "" {
		c.Fix = text
	}
}

// formatFix knows the commonest reason why a text is no token.
func (q question) formatFix() string {
	if info, err := os.Stat(q.raw); err == nil && info.Mode().IsRegular() {
		return "that is a file: ctb verify - … < FILE"
	}
	return ""
}

// key asks where the key lives, and returns the keys that may be trusted.
func (q question) key(ctx context.Context, a *answer, msg *jose.Message, t *ctb.Token) ctb.KeySet {
	if q.judge.policy == nil {
		a.skip("evidence", "the keys are trusted without evidence: --unattested")
		keys, err := ctb.ParseKeys(q.jwks)
		if err != nil {
			return ctb.StaticKeys{}
		}
		return keys
	}
	// A key of another broker of the same build is another's, whatever the policy leaves out: a
	// token is its issuer's only under a key that is bound to it.
	issuer := or(q.issuer, t.Issuer)
	x, err := q.evidence(ctx, msg.Header.KeyID, issuer)
	if err != nil {
		a.add("evidence", err, "")
		return ctb.StaticKeys{}
	}
	a.Key = x
	if !x.Genuine {
		a.add("evidence", errors.New(strings.Join(x.Reasons, "; ")), "").fix(x.fix)
		return ctb.StaticKeys{}
	}
	kind := "genuine " + teeName(x.TEE)
	if *x.Simulated {
		kind = "simulated " + teeName(x.TEE) + ", genuine under the development root alone"
	}
	a.add("evidence", nil, fmt.Sprintf("%s, %s, judged at %s", kind, x.TCB.Status, show(q.evidenceAt)))
	a.add("collateral", nil, x.collateralFrom()+", "+x.collateralUntil())
	a.policy(x, q.judge)
	keys, err := attest.ParseKeys(ctx, q.jwks, attest.Config{
		Issuer: issuer, Policy: q.judge.policy, Platforms: q.judge.platforms, Staple: q.judge.staple,
		Now: q.now(q.at), EvidenceNow: q.now(q.evidenceAt),
	})
	if err == nil {
		_, err = keys.Key(ctx, msg.Header.KeyID)
	}
	if err != nil {
		if len(a.Reasons) == 0 {
			a.add("key", err, "")
		}
		return ctb.StaticKeys{}
	}
	return keys
}

// evidence inspects the key that the token names.
func (q question) evidence(ctx context.Context, kid, issuer string) (*finding, error) {
	in, err := recognise(q.jwks)
	if err != nil {
		return nil, err
	}
	if in.keys == nil {
		return nil, errors.New("--jwks: got no JSON Web Key set")
	}
	findings, err := q.judge.findings(ctx, in, looking{issuer: issuer, at: q.at, evidenceAt: q.evidenceAt})
	if err != nil {
		return nil, err
	}
	for i := range findings {
		if findings[i].KeyID == kid {
			return &findings[i], nil
		}
	}
	return nil, fmt.Errorf("the key set has no key %q", kid)
}

// policy writes the verdict on the certificate's validity, on what the key is
// bound to, and on each reference value.
func (a *answer) policy(x *finding, j *judge) {
	if c := x.Certificate; c != nil {
		text := fmt.Sprintf("valid %s to %s", show(c.NotBefore), show(c.NotAfter))
		var err error
		if a.At.Add(ctb.Leeway).Before(c.NotBefore) || a.At.Add(-ctb.Leeway).After(c.NotAfter) {
			err = errors.New("the key is not valid at this time: " + text)
		}
		a.add("certificate", err, text)
	}
	fits := true
	for _, r := range x.Refusals {
		name := "policy"
		switch {
		case r.Key == "validity":
			continue // the certificate's, above: evidence that binds one binds the same
		case r.Key == "binding" || r.Key == "issuer" && j.policy.Issuer == "":
			name = "key"
		default:
			fits = false
		}
		a.add(name, fmt.Errorf("%s: %s", policyLabel(r.Key), strings.Join(r.lines(), "; ")), "").fix(r.Fix)
	}
	if fits && !x.unbound {
		a.add("policy", nil, j.path)
	}
}

// plainer drops the words that every reason begins with.
func plainer(err error) error {
	if err == nil {
		return nil
	}
	if text, found := strings.CutPrefix(err.Error(), ctb.ErrInvalidToken.Error()+": "); found {
		return errors.New(text)
	}
	return err
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
