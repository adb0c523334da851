package demo

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/internal/devidp"
)

// redirectURI is where the identity provider sends the browser back to. The
// demo is the browser and the application in one, and never opens that page.
const redirectURI = "http://127.0.0.1/callback"

const maxAnswer = 64 << 10 // bytes

// logIn logs the user in, as an application would: authorization code with PKCE
// (RFC 7636), over HTTP.
func (s *stage) logIn(ctx context.Context) error {
	s.out.Heading("1. A user logs in")
	code, verifier, nonce, err := s.authorize(ctx)
	if err := s.must("login", err, "alice, by authorization code with PKCE"); err != nil {
		return err
	}
	s.idToken, err = s.redeem(ctx, code, verifier)
	if err := s.must("code", err, "redeemed for an id token"); err != nil {
		return err
	}
	t, err := s.verifyIDToken(ctx, nonce)
	if err != nil {
		return s.must("id token", err)
	}
	s.must("id token", nil, fmt.Sprintf("is of %s, for the application %q, and answers our nonce", t.Subject, clientID))
	return s.write(idTokenFile, []byte(s.idToken+"\n"))
}

// authorize asks for a code, and checks that the answer is to this question.
func (s *stage) authorize(ctx context.Context) (code, verifier, nonce string, err error) {
	verifier, nonce = rand.Text()+rand.Text(), rand.Text()
	state := rand.Text()
	q := url.Values{
		"response_type": {"code"}, "client_id": {clientID}, "redirect_uri": {redirectURI},
		"scope": {"openid profile email"}, "state": {state}, "nonce": {nonce},
		"code_challenge": {devidp.Challenge(verifier)}, "code_challenge_method": {"S256"},
		"prompt": {"none"}, "login_hint": {devidp.DefaultUser.Name},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.idp.URL(devidp.AuthorizePath)+"?"+q.Encode(), nil)
	if err != nil {
		return "", "", "", err
	}
	browser := *s.web
	browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := browser.Do(req)
	if err != nil {
		return "", "", "", err
	}
	resp.Body.Close()
	back, err := resp.Location()
	if err != nil {
		return "", "", "", fmt.Errorf("got %s, want a redirect back to the application", resp.Status)
	}
	answer := back.Query()
	switch {
	case !strings.HasPrefix(back.String(), redirectURI+"?"):
		err = errors.New("the redirect does not lead back to the application")
	case answer.Get("error") != "":
		err = fmt.Errorf("%s: %s", answer.Get("error"), answer.Get("error_description"))
	case answer.Get("state") != state:
		err = errors.New("the answer is to another question: state differs")
	case answer.Get("iss") != s.idpURL: // RFC 9207
		err = errors.New("the answer is of another provider: iss differs")
	}
	return answer.Get("code"), verifier, nonce, err
}

// redeem exchanges the code for an id token.
func (s *stage) redeem(ctx context.Context, code, verifier string) (string, error) {
	form := url.Values{
		"grant_type": {"authorization_code"}, "client_id": {clientID}, "redirect_uri": {redirectURI},
		"code": {code}, "code_verifier": {verifier},
	}
	status, body, err := s.send(ctx, s.web, http.MethodPost, s.idp.URL(devidp.TokenPath), form.Encode(), http.Header{
		"Content-Type": {"application/x-www-form-urlencoded"},
	})
	if err != nil {
		return "", err
	}
	var answer struct {
		IDToken string `json:"id_token"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.IDToken == "" {
		return "", fmt.Errorf("got status %d without an id token", status)
	}
	return answer.IDToken, nil
}

// verifyIDToken checks the id token as the application does.
func (s *stage) verifyIDToken(ctx context.Context, nonce string) (*ctb.Token, error) {
	v, err := ctb.NewVerifier(ctb.Config{
		Issuer: s.idpURL, Audience: clientID, Type: ctb.IDToken,
		Keys: ctb.NewRemoteKeys(s.idp.URL(devidp.JWKSPath), s.web),
	})
	if err != nil {
		return nil, err
	}
	t, err := v.Verify(ctx, s.idToken)
	if err != nil {
		return nil, err
	}
	return t, t.Satisfies(ctb.Claim("nonce", nonce))
}

// send sends one request and returns the status and the bounded body.
func (s *stage) send(ctx context.Context, c *http.Client, method, target, body string, header http.Header) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if header != nil {
		req.Header = header
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, answer, err
}
