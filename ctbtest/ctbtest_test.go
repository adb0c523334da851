package ctbtest_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/ctbtest"
	"github.com/confidential-token-broker/ctb/exchange"
)

func TestIssuer(t *testing.T) {
	iss := ctbtest.NewIssuer(t)
	v := iss.Verifier()
	past := time.Now().Add(-time.Hour).Unix()
	for _, tt := range []struct {
		name, token string
		good        bool
	}{
		{"as it is", iss.Token(nil), true},
		{"with a claim", iss.Token(ctbtest.Claims{"role": "admin"}), true},
		{"expired", iss.Token(ctbtest.Claims{"exp": past}), false},
		{"without expiry", iss.Token(ctbtest.Claims{"exp": nil}), false},
		{"for somebody else", iss.Token(ctbtest.Claims{"aud": "https://other.example.com"}), false},
		{"signed as written", iss.Sign(iss.Header(), `{"iss":"https://issuer.example","aud":"https://api.example.com","exp":9999999999}`), true},
		{"another header", iss.Sign(`{"typ":"JWT","alg":"ES256"}`, `{"iss":"https://issuer.example","aud":"https://api.example.com","exp":9999999999}`), false},
		{"another issuer's", ctbtest.NewIssuer(t).Token(nil), false},
	} {
		_, err := v.Verify(t.Context(), tt.token)
		if (err == nil) != tt.good || err != nil && !errors.Is(err, ctb.ErrInvalidToken) {
			t.Errorf("%s: got %v, want good=%v", tt.name, err, tt.good)
		}
	}
	token, err := v.Verify(t.Context(), iss.Token(ctbtest.Claims{"scope": "a b"}))
	if err != nil {
		t.Fatal(err)
	}
	if token.Subject != ctbtest.Subject || token.ClientID != ctbtest.ClientID || len(token.Scope) != 2 || token.ID == "" || token.KeyID == "" {
		t.Errorf("got %+v", token)
	}
	keys, err := ctb.ParseKeys(iss.JWKS())
	if err != nil || len(keys) != 1 || keys[0].ID != token.KeyID {
		t.Errorf("JWKS: got %v, %v", keys, err)
	}
}

// TestIssuerClock: a test may stop the time.
func TestIssuerClock(t *testing.T) {
	iss := ctbtest.NewIssuer(t)
	now := time.Unix(1_700_000_000, 0)
	iss.Now = func() time.Time { return now }
	token, v := iss.Token(nil), iss.Verifier()
	if _, err := v.Verify(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	now = now.Add(5*time.Minute + ctb.Leeway + time.Second)
	if _, err := v.Verify(t.Context(), token); !errors.Is(err, ctb.ErrInvalidToken) {
		t.Errorf("got %v, want the token expired", err)
	}
}

// idVerifier reads the id tokens of the provider as the broker does: with keys found by discovery.
func idVerifier(t *testing.T, idp *ctbtest.IdP) *ctb.Verifier {
	t.Helper()
	v, err := ctb.NewVerifier(ctb.Config{
		Issuer: idp.URL, Audience: ctbtest.ClientID, Type: ctb.IDToken, Keys: ctb.DiscoverKeys(idp.URL, idp.Client()),
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestIdP(t *testing.T) {
	for _, algorithm := range []string{"", "RS256", "PS384", "EdDSA"} {
		t.Run(algorithm, func(t *testing.T) {
			idp := ctbtest.NewIdP(t, &ctbtest.IdPConfig{Algorithm: algorithm, Users: []ctbtest.User{
				{Name: "alice", Email: "alice@example.com", EmailVerified: true},
				{Name: "bob", Subject: "b-2", Claims: ctbtest.Claims{"role": "auditor"}},
			}})
			v := idVerifier(t, idp)
			token, err := v.Verify(t.Context(), idp.Login("bob"))
			if err != nil {
				t.Fatal(err)
			}
			if token.Subject != "b-2" {
				t.Errorf("sub: got %q, want b-2", token.Subject)
			}
			if err := token.Satisfies(ctb.Claim("role", "auditor")); err != nil {
				t.Error(err)
			}
			for name, raw := range map[string]string{"Token": idp.Token(nil), "TokenFor": idp.TokenFor("bob")} {
				if _, err := v.Verify(t.Context(), raw); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			if _, err := v.Verify(t.Context(), idp.Sign(idp.Header(), `{}`)); !errors.Is(err, ctb.ErrInvalidToken) {
				t.Errorf("a token without claims: got %v", err)
			}
		})
	}
}

// TestIdPBreaks: while the provider is broken, keys cannot be had, which is not the token's fault.
func TestIdPBreaks(t *testing.T) {
	for name, fault := range map[string]http.Handler{
		"down": ctbtest.Down(), "gone": ctbtest.Gone(), "huge": ctbtest.Huge(10 << 20), "html": ctbtest.HTML(), "empty": ctbtest.EmptySet(),
	} {
		t.Run(name, func(t *testing.T) {
			idp := ctbtest.NewIdP(t, nil)
			idp.Break(fault, ctbtest.JWKS)
			_, err := idVerifier(t, idp).Verify(t.Context(), idp.Token(nil))
			if err == nil || errors.Is(err, ctb.ErrInvalidToken) {
				t.Errorf("got %v, want keys that cannot be had", err)
			}
			if idp.Hits(ctbtest.JWKS) == 0 {
				t.Error("nobody asked for the keys")
			}
			idp.Repair()
			if _, err := idVerifier(t, idp).Verify(t.Context(), idp.Token(nil)); err != nil {
				t.Errorf("after repair: %v", err)
			}
		})
	}
	t.Run("slow", func(t *testing.T) {
		idp := ctbtest.NewIdP(t, nil)
		idp.Break(ctbtest.Slow(time.Hour))
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := idVerifier(t, idp).Verify(ctx, idp.Token(nil)); err == nil || errors.Is(err, ctb.ErrInvalidToken) {
			t.Errorf("got %v, want keys that cannot be had", err)
		}
	})
	t.Run("other keys", func(t *testing.T) {
		idp, other := ctbtest.NewIdP(t, nil), ctbtest.NewIdP(t, nil)
		idp.SetJWKS(other.JWKS())
		if _, err := idVerifier(t, idp).Verify(t.Context(), idp.Token(nil)); !errors.Is(err, ctb.ErrInvalidToken) {
			t.Errorf("got %v, want an unknown key", err)
		}
		idp.SetJWKS(nil)
		idp.RotateKey()
		if _, err := idVerifier(t, idp).Verify(t.Context(), idp.Token(nil)); err != nil {
			t.Errorf("after a rotation: %v", err)
		}
	})
}

func TestBroker(t *testing.T) {
	b := ctbtest.NewBroker(t, nil)
	raw := b.Exchange(b.IdP.Login(ctbtest.Subject))
	token, err := b.Verifier().Verify(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	if token.Subject != ctbtest.Subject || token.Issuer != b.URL {
		t.Errorf("got %+v", token)
	}
	if err := token.Satisfies(ctb.Scope("read:reports"), ctb.Scope("write:reports"), ctb.Claim("idp", b.IdP.URL)); err != nil {
		t.Error(err)
	}

	_, err = b.TryExchange(&exchange.Request{SubjectToken: b.IdP.Token(nil), Audience: []string{"https://other.example.com"}})
	var refused *exchange.Error
	if !errors.As(err, &refused) || refused.Code != exchange.InvalidTarget {
		t.Errorf("another audience: got %v, want invalid_target", err)
	}
	events := b.Audit()
	if len(events) != 2 || events[0].Outcome != "issued" || events[1].Outcome != "refused" || events[0].Subject != ctbtest.Subject {
		t.Errorf("audit: got %+v, want one issued and one refused", events)
	}
}

// TestBrokerEvidence: the evidence is judged in earnest.
func TestBrokerEvidence(t *testing.T) {
	b := ctbtest.NewBroker(t, nil)
	token := b.Token(nil)
	verify := func(p *attest.Policy, platforms []attest.Verifier) error {
		return verify(t, b, attest.Config{URL: b.URL, Policy: p, Platforms: platforms, Client: b.Client()}, token)
	}
	if err := verify(b.Policy(), b.Platforms()); err != nil {
		t.Fatal(err)
	}
	other := b.Policy()
	other.Builds = []attest.Build{{TEE: "sgx", Measurements: map[string][]byte{"mrenclave": make([]byte, 32)}}}
	rules := b.Policy()
	rules.Rules = []string{"sha256:0000000000000000000000000000000000000000000000000000000000000000"}
	strict := b.Policy()
	strict.SimulatedRoot = ""
	for name, err := range map[string]error{
		"another build":  verify(other, b.Platforms()),
		"other rules":    verify(rules, b.Platforms()),
		"hardware alone": verify(strict, b.Platforms()),
		"Intel's root":   verify(b.Policy(), []attest.Verifier{&dcap.Verifier{Collateral: b.Platforms()[0].(*dcap.Verifier).Collateral}}),
		"another's root": verify(b.Policy(), ctbtest.NewBroker(t, nil).Platforms()),
	} {
		if err == nil || errors.Is(err, ctb.ErrInvalidToken) {
			t.Errorf("%s: got %v, want keys that cannot be trusted", name, err)
		}
	}
}

// TestBrokerTLS: the client trusts the evidence of this broker, and no other.
func TestBrokerTLS(t *testing.T) {
	b, other := ctbtest.NewBroker(t, nil), ctbtest.NewBroker(t, nil)
	if res, err := b.Client().Get(b.URL + "/healthz"); err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("got %v, %v", res, err)
	}
	if _, err := b.Client().Get(other.URL + "/healthz"); err == nil {
		t.Error("another broker's certificate is trusted")
	}
	var unknown x509.UnknownAuthorityError
	if _, err := http.Get(b.URL); !errors.As(err, &unknown) {
		t.Errorf("got %v, want an unknown authority", err)
	}
}

// TestOriginalProfile: the original's request, answer and token.
func TestOriginalProfile(t *testing.T) {
	b := ctbtest.NewBroker(t, &ctbtest.BrokerConfig{Original: true})
	body, _ := json.Marshal(map[string]string{"id_token": b.IdP.Token(nil)})
	res, err := b.Client().Post(b.URL+"/stsToken", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer map[string]string
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("got %d %v, %v", res.StatusCode, answer, err)
	}
	v, err := ctb.NewVerifier(ctb.Config{Issuer: "enclave authorization", Audience: ctbtest.Audience, Type: ctb.IDToken, Keys: b.Keys()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(t.Context(), answer["Access Token"]); err != nil {
		t.Error(err)
	}
}

// TestFiles: the policy file says what Policy says.
func TestFiles(t *testing.T) {
	for _, original := range []bool{false, true} {
		b := ctbtest.NewBroker(t, &ctbtest.BrokerConfig{Original: original})
		path, collateral := b.Files()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		p, err := attest.ParsePolicy(text)
		if err != nil {
			t.Fatal(err)
		}
		want := b.Policy()
		if p.Issuer != want.Issuer || p.Scheme != want.Scheme && p.Scheme+want.Scheme != attest.DICE || len(p.Rules) != len(want.Rules) {
			t.Errorf("got %+v, want %+v", p, want)
		}
		if _, err := os.Stat(filepath.Join(filepath.Dir(path), p.SimulatedRoot)); err != nil {
			t.Error(err)
		}
		text, err = os.ReadFile(collateral)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := dcap.ParseCollateral(text); err != nil {
			t.Error(err)
		}
	}
}

// TestLoginNeedsPKCE: the provider is no pushover about the protocol.
func TestLoginNeedsPKCE(t *testing.T) {
	idp := ctbtest.NewIdP(t, nil)
	client := idp.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := client.Get(idp.URL + ctbtest.Authorize + "?" + url.Values{
		"response_type": {"code"}, "client_id": {ctbtest.ClientID}, "redirect_uri": {"http://127.0.0.1:1234/callback"}, "scope": {"openid"},
		"prompt": {"none"}, "login_hint": {ctbtest.Subject},
	}.Encode())
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	to, err := res.Location()
	if err != nil || to.Query().Get("error") != "invalid_request" {
		t.Errorf("got %v, %v, want invalid_request", to, err)
	}
}

func TestRequest(t *testing.T) {
	iss := ctbtest.NewIssuer(t)
	h := iss.Verifier().Protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), ctb.Scope("read:reports"))
	for scope, want := range map[string]int{"read:reports": 200, "write:reports": 403} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, iss.Request("GET", "/reports", ctbtest.Claims{"scope": scope}))
		if w.Code != want {
			t.Errorf("scope %s: got %d, want %d", scope, w.Code, want)
		}
	}
}
