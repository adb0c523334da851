package demo

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/exchange"
	"github.com/confidential-token-broker/ctb/internal/fetch"
)

const jwksPath = "/.well-known/jwks.json"

// exchange turns the id token into an access token at the broker, whose TLS key is
// attested: the id token only leaves once it is clear who gets it.
func (s *stage) exchange(ctx context.Context) error {
	s.out.Heading("2. The broker exchanges the id token (RFC 8693)")
	a, err := s.ask(ctx, s.attested, s.brokerURL, &exchange.Request{
		SubjectToken: s.idToken, Audience: []string{audience}, Scope: []string{scope},
	})
	var refusal *attest.RefusalError
	if errors.As(err, &refusal) {
		return s.must("TLS key", err)
	}
	if err := s.must("TLS key", err, "lives in the build that the policy names, enforcing its rules"); err != nil {
		return err
	}
	s.accessToken = a.AccessToken
	s.must("exchange", nil, fmt.Sprintf("an access token for %s, scope %s, for %d minutes",
		audience, a.Scope, a.ExpiresIn/60))
	s.must("audit", s.audited(), "the record was written before the token was given")
	return s.write(accessFile, []byte(s.accessToken+"\n"))
}

// ask asks the broker at issuer for a token.
func (s *stage) ask(ctx context.Context, c *http.Client, issuer string, r *exchange.Request) (*exchange.Response, error) {
	r.SubjectTokenType = exchange.TypeIDToken
	client := exchange.Client{URL: issuer + "/token", HTTP: c}
	return client.Exchange(ctx, r)
}

// verifyStapled verifies evidence and token as a stranger does who has a policy, and no way to the
// hardware's maker: the broker hands out its collateral along with the keys.
func (s *stage) verifyStapled(ctx context.Context) error {
	s.out.Heading("3. A stranger checks key and token, asking nobody but the broker")
	doc, err := fetch.JSON(ctx, s.attested, s.brokerURL+jwksPath, 1<<20)
	if err != nil {
		return s.must("key set", err)
	}
	if err := s.write(jwksFile, doc.Body); err != nil {
		return err
	}
	staple, err := s.takeStaple(ctx)
	if err != nil {
		return s.must("collateral", err)
	}
	judged := attest.Config{Policy: s.policy, Platforms: s.platforms, Staple: staple}
	list, err := attest.Appraisals(ctx, doc.Body, judged)
	if err == nil {
		err = list[0].Err
	}
	if err := s.must("evidence", err, "genuine under the development root, and bound to this very key"); err != nil {
		return err
	}
	r, b := list[0].Appraisal.Report, list[0].Appraisal.Binding
	s.must("collateral", nil, fmt.Sprintf("stapled by the broker; signed under the development root, valid until %s",
		r.Collateral.NotAfter.UTC().Format(time.DateOnly)))
	s.must("build", nil, fmt.Sprintf("MRENCLAVE %x…, as the policy names it; not a debug build", r.Measurements["mrenclave"][:8]))
	s.must("platform", nil, fmt.Sprintf("%s, which the policy accepts", r.TCB.Status))
	s.must("rules", nil, fmt.Sprintf("sha256:%x…, as the policy names them", b.RulesDigest[:8]))
	if s.keys, err = attest.ParseKeys(ctx, doc.Body, judged); err != nil {
		return s.must("key set", err)
	}
	if err := s.must("token", s.verifyAt(ctx, s.accessToken, time.Now()), "signature, type, issuer, audience and lifetime are right"); err != nil {
		return err
	}
	return nil
}

// takeStaple gets what the broker serves beside its keys, and keeps it and the collateral in it.
func (s *stage) takeStaple(ctx context.Context) (*attest.Attestation, error) {
	a, err := attest.FetchAttestation(ctx, s.attested, s.brokerURL)
	if err != nil {
		return nil, err
	}
	text, err := a.Marshal()
	if err != nil {
		return nil, err
	}
	collateral, err := dcap.ParseCollateral(a.Collateral["dcap"])
	if err != nil {
		return nil, err
	}
	return a, errors.Join(s.write(staplingFile, text), s.write(collateralFile, collateral.Marshal()))
}

// askNow asks the broker for evidence that was not there before: what it published so far proves where
// its keys come from, and not that it still runs.
func (s *stage) askNow(ctx context.Context) error {
	s.out.Heading("4. And is the broker there now? It answers a nonce with fresh evidence")
	nonce := make([]byte, 32)
	rand.Read(nonce) // never fails
	doc, err := attest.FetchFresh(ctx, s.attested, s.brokerURL, nonce)
	if err != nil {
		return s.must("fresh", err)
	}
	judged := attest.Config{URL: s.brokerURL, Policy: s.policy, Platforms: s.platforms}
	a, err := attest.CheckFresh(ctx, doc, nonce, judged)
	if err := s.must("fresh", err, fmt.Sprintf("made for our nonce %x…, in the build and under the rules that the policy names", nonce[:8])); err != nil {
		return err
	}
	covered := 0
	for _, k := range a.Keys {
		if k.Covered {
			covered++
		}
	}
	if covered != len(a.Keys) {
		err = fmt.Errorf("it covers %d of the %d keys that the broker lists", covered, len(a.Keys))
	}
	if err := s.must("keys", err, fmt.Sprintf("it covers all %d that the broker lists", len(a.Keys))); err != nil {
		return err
	}
	nonce[0] ^= 1
	_, err = attest.CheckFresh(ctx, doc, nonce, judged)
	s.refused("replayed", "the same answer, to somebody who sent another nonce", err, func(err error) string {
		if !strings.Contains(err.Error(), "does not answer this nonce") {
			return ""
		}
		return "it does not answer that one"
	})
	return nil
}

// callAPI calls the API through the gateway.
func (s *stage) callAPI(ctx context.Context) error {
	s.out.Heading("5. The token opens the API, through the gateway")
	return s.must("call", s.callWith(ctx, s.accessToken), fmt.Sprintf("GET %s/api: %q", s.gatewayURL, apiAnswer))
}

// callWith calls the API with a token. The error is a *statusError if the gateway refused.
func (s *stage) callWith(ctx context.Context, token string) error {
	header := http.Header{}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.gatewayURL+"/api", nil)
	if err != nil {
		return err
	}
	req.Header = header
	resp, err := s.web.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return &statusError{resp.StatusCode, resp.Header.Get("WWW-Authenticate")}
	}
	return nil
}

// statusError is what a gateway answers to a token that it does not let through.
type statusError struct {
	status    int
	challenge string // RFC 6750 section 3
}

func (e *statusError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", e.status, e.challenge))
}

// speakOriginal exchanges and calls as users of the original broker do.
func (s *stage) speakOriginal(ctx context.Context) error {
	s.out.Heading("6. The original broker's interface still works")
	body, err := json.Marshal(map[string]string{"id_token": s.idToken})
	if err != nil {
		return err
	}
	status, answer, err := s.send(ctx, s.attested, http.MethodGet, s.brokerURL+"/stsToken", string(body),
		http.Header{"Content-Type": {"application/json"}})
	var got map[string]string
	if err == nil && (status != http.StatusOK || json.Unmarshal(answer, &got) != nil || got["Access Token"] == "") {
		err = fmt.Errorf("got status %d without an access token", status)
	}
	if err := s.must("/stsToken", err, `gives {"Access Token": …}, in the original's form`); err != nil {
		return err
	}
	s.originalToken = got["Access Token"]
	if err := s.must("/api", s.callWith(ctx, s.originalToken), fmt.Sprintf("accepts it: %q", apiAnswer)); err != nil {
		return err
	}
	return s.write(originalFile, []byte(s.originalToken+"\n"))
}
