package demo

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/broker"
	"github.com/confidential-token-broker/ctb/cmd/internal/platforms"
	"github.com/confidential-token-broker/ctb/exchange"
	"github.com/confidential-token-broker/ctb/internal/devidp"
)

// refuseTokens shows tokens that the gateway and the broker must not accept.
func (s *stage) refuseTokens(ctx context.Context) {
	s.out.Heading("7. What is not right is refused: tokens")
	forged, err := s.forge()
	if err != nil {
		s.must("forged", err)
		return
	}
	s.refusedByGateway(ctx, "forged", "the same claims, signed by another key under the broker's key id", forged, 401)
	s.refusedByGateway(ctx, "altered", "the user's name exchanged, the signature kept", alter(s.accessToken), 401)
	s.refusedByGateway(ctx, "wrong API", "a good token, but for "+elsewhere, s.narrowed(ctx, elsewhere, scope), 401)
	s.refusedByGateway(ctx, "scope", "a good token, but without "+scope, s.narrowed(ctx, audience, "profile"), 403)
	s.refused("expired", "the good token, after its time", s.verifyAt(ctx, s.accessToken, time.Now().Add(lifetime+10*time.Minute)), func(err error) string {
		if !errors.Is(err, ctb.ErrInvalidToken) {
			return ""
		}
		return err.Error()
	})
	s.refuseExchanges(ctx)
}

// refuseExchanges shows what the broker must not exchange.
func (s *stage) refuseExchanges(ctx context.Context) {
	_, err := s.ask(ctx, s.attested, s.brokerURL, &exchange.Request{SubjectToken: s.idToken, Audience: []string{"https://example.com/other"}})
	s.refused("audience", "an exchange for an API that the rules do not give", err, s.code(exchange.InvalidTarget))
	stranger, err := s.idp.IDToken(devidp.DefaultUser.Name, "another-application", nil)
	if err == nil {
		_, err = s.ask(ctx, s.attested, s.brokerURL, &exchange.Request{SubjectToken: stranger})
	}
	s.refused("id token", "an exchange of an id token that was meant for another application", err, s.code(exchange.InvalidRequest))
}

// narrowed returns a good token for this audience and scope, or one that nobody takes.
func (s *stage) narrowed(ctx context.Context, audience, scope string) string {
	a, err := s.ask(ctx, s.attested, s.brokerURL, &exchange.Request{
		SubjectToken: s.idToken, Audience: []string{audience}, Scope: []string{scope},
	})
	if err != nil {
		s.must("exchange", err)
		return ""
	}
	return a.AccessToken
}

// refusedByGateway calls the API with a token that the gateway must refuse with
// this status. The gateway tells nobody why; a verifier of our own does.
func (s *stage) refusedByGateway(ctx context.Context, label, what, token string, want int) {
	s.refused(label, what, s.callWith(ctx, token), func(err error) string {
		var e *statusError
		if !errors.As(err, &e) || e.status != want {
			return ""
		}
		reason := s.verifyAt(ctx, token, time.Now())
		if reason == nil { // the token is good, but not enough
			return e.Error()
		}
		return fmt.Sprintf("%d, %v", e.status, reason)
	})
}

// forge signs the access token's claims with a key that is not the broker's.
func (s *stage) forge() (string, error) {
	head, rest, _ := strings.Cut(s.accessToken, ".")
	header, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil {
		return "", err
	}
	payload, _, _ := strings.Cut(rest, ".")
	claims, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return "", err
	}
	return s.idp.Sign(header, claims)
}

// alter makes the token somebody else's, and keeps the signature.
func alter(token string) string {
	parts := strings.Split(token, ".")
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return token // it is then accepted, and the step fails
	}
	text := strings.Replace(string(claims), `"alice"`, `"admin"`, 1)
	parts[1] = base64.RawURLEncoding.EncodeToString([]byte(text))
	return strings.Join(parts, ".")
}

// verifyAt verifies a token at an instant, with the keys that were verified in step 3.
func (s *stage) verifyAt(ctx context.Context, token string, at time.Time) error {
	v, err := ctb.NewVerifier(ctb.Config{
		Issuer: s.brokerURL, Audience: audience, Keys: s.keys, Now: func() time.Time { return at },
	})
	if err != nil {
		return err
	}
	_, err = v.Verify(ctx, token)
	return err
}

// code wants the broker's refusal with this code, and quotes the audit: the asker is
// told the code alone.
func (s *stage) code(want string) func(error) string {
	return func(err error) string {
		var e *exchange.Error
		if !errors.As(err, &e) || e.Code != want {
			return ""
		}
		reason := e.Code
		if last := s.audit.newest(); last.Reason != "" {
			reason += " (only the broker's audit knows why: " + last.Reason + ")"
		}
		return reason
	}
}

// refuseBrokers shows brokers that the policy must not accept, each really running.
// Their TLS key is what is refused, so the id token is not even sent to them.
func (s *stage) refuseBrokers(ctx context.Context) {
	s.out.Heading("8. What is not ours is refused: brokers, before they get the id token")
	s.refuseBroker(ctx, "other build", "a broker with another MRENCLAVE", func(c *simulated.Config) { c.MRENCLAVE = [32]byte{0x0b, 0xad} }, nil, "mrenclave")
	s.refuseBroker(ctx, "debug", "the right build in a debug enclave", func(c *simulated.Config) { c.Debug = true }, nil, "debug")
	s.refuseBroker(ctx, "out of date", "the right build on a machine without updates", func(c *simulated.Config) { c.Status = attest.OutOfDate }, nil, "tcb.accept")
	s.refuseBroker(ctx, "tampered", "the right build with rules that somebody changed", nil, func(text string) string {
		return strings.Replace(text, "openid profile", "openid profile write:everything", 1)
	}, "rules")
	s.refused("simulated", "our own broker, for somebody who trusts hardware alone", s.underIntel(ctx), func(err error) string {
		if !errors.Is(err, dcap.ErrUntrustedRoot) {
			return ""
		}
		return "its evidence is not under Intel's root"
	})
}

// refuseBroker starts another broker, on changed hardware or with changed rules, and asks it for a token.
func (s *stage) refuseBroker(ctx context.Context, label, what string, machine func(*simulated.Config), edit func(string) string, key string) {
	audit := &auditLog{}
	url, err := s.otherBroker(ctx, audit, machine, edit)
	if err != nil {
		s.must(label, err)
		return
	}
	// The same policy, but for the issuer: this broker has an address of its own.
	policy := *s.policy
	policy.Issuer = url
	client, err := s.clientFor(url, &policy, s.platforms)
	if err != nil {
		s.must(label, err)
		return
	}
	_, err = s.ask(ctx, client, url, &exchange.Request{SubjectToken: s.idToken, Audience: []string{audience}})
	if seen := audit.newest(); seen.ID != "" {
		err = errors.New("it got the id token")
	}
	s.refused(label, what, err, func(err error) string {
		var e *attest.RefusalError
		if !errors.As(err, &e) {
			return ""
		}
		i := slices.IndexFunc(e.Refusals, func(r attest.Refusal) bool { return r.Key == key || strings.HasSuffix(r.Key, "."+key) })
		if i < 0 || len(e.Refusals) > 1 {
			return "" // this reason, and no other
		}
		return short(e.Refusals[i])
	})
}

// otherBroker starts a broker and returns its URL.
func (s *stage) otherBroker(ctx context.Context, audit broker.Auditor, machine func(*simulated.Config), edit func(string) string) (string, error) {
	text := string(ruleText(s.idpURL, s.idp.URL(devidp.JWKSPath)))
	if edit != nil {
		text = edit(text)
	}
	set, err := parseRules([]byte(text))
	if err != nil {
		return "", err
	}
	hardware := s.platform
	if machine != nil {
		if hardware, err = s.hardware(machine); err != nil {
			return "", err
		}
	}
	l, err := listen(ctx, "broker-addr", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, err = s.startBroker(s.life, l, hardware, broker.Config{Rules: set, Audit: audit})
	return "https://" + l.Addr().String(), err
}

// underIntel asks the broker for a token, trusting hardware alone.
func (s *stage) underIntel(ctx context.Context) error {
	policy := *s.policy
	policy.SimulatedRoot = ""
	client, err := s.clientFor(s.brokerURL, &policy, platforms.Of(nil, nil, nil))
	if err != nil {
		return err
	}
	_, err = s.ask(ctx, client, s.brokerURL, &exchange.Request{SubjectToken: s.idToken})
	return err
}

// short says a refusal with the beginnings of digests, which is enough to tell them apart.
func short(r attest.Refusal) string {
	cut := func(s string) string {
		words := strings.Fields(s)
		for i, w := range words {
			if len(w) >= 64 && !strings.Contains(w, "/") {
				words[i] = w[:len(w)-56] + "…"
			}
		}
		return strings.Join(words, " ")
	}
	return fmt.Sprintf("%s: got %s, want %s", r.Key, cut(r.Got), cut(r.Want))
}
