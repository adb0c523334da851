package exchange

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/confidential-token-broker/ctb/internal/fetch"
	"github.com/confidential-token-broker/ctb/internal/roots"
)

// Bounds of an exchange at the client's end.
const (
	maxAnswer     = 64 << 10 // bytes
	clientTimeout = 30 * time.Second
)

// Client exchanges tokens at a broker. It is safe for concurrent use.
type Client struct {
	// URL is the token endpoint: https, or http on a loopback address.
	URL string
	// HTTP is the client to use; nil has a timeout and bundled CA roots. To
	// accept only an attested broker, give it the TLS configuration of package attest.
	// Its redirect policy is not used: a redirect would carry the token elsewhere, and is refused.
	HTTP *http.Client
}

// Exchange sends a request. It waits 30 s at most. The error is an *Error if
// the broker refused, or the request is one that no broker accepts; any other means that it could not be asked, or that its answer makes no sense.
func (c *Client) Exchange(ctx context.Context, r *Request) (*Response, error) {
	if err := checkEndpoint(c.URL); err != nil {
		return nil, err
	}
	// A form cannot tell an empty audience from none, and none asks for more: what is not well formed stays here.
	if err := r.Check(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, clientTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, strings.NewReader(r.Form().Encode()))
	if err != nil {
		return nil, fmt.Errorf("token endpoint: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	resp, err := c.client().Do(req)
	if err != nil {
		return nil, fmt.Errorf("token endpoint: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("token endpoint %s: reading the answer: %w", c.URL, err)
	}
	if len(body) > maxAnswer {
		return nil, fmt.Errorf("token endpoint %s: the answer is longer than %d bytes", c.URL, maxAnswer)
	}
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind != "application/json" {
		return nil, fmt.Errorf("token endpoint %s: got %s with content type %q, want application/json", c.URL, resp.Status, kind)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, c.refusal(resp, body)
	}
	answer, err := parseResponse(body)
	if err != nil {
		return nil, fmt.Errorf("token endpoint %s: %w", c.URL, err)
	}
	return answer, nil
}

// defaultClient is shared, so that its connections are.
var defaultClient = sync.OnceValue(func() *http.Client { return fetch.Client(roots.Bundled()) })

// client returns a copy that follows no redirect.
func (c *Client) client() *http.Client {
	base := c.HTTP
	if base == nil {
		base = defaultClient()
	}
	own := *base
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	own.Jar = nil
	return &own
}

func (c *Client) refusal(resp *http.Response, body []byte) error {
	var e Error
	if err := json.Unmarshal(body, &e); err != nil || e.Code == "" || !printable(e.Code) {
		return fmt.Errorf("token endpoint %s: got %s without an OAuth error", c.URL, resp.Status)
	}
	if !printable(e.Description) {
		e.Description = "" // RFC 6749 section 5.2 allows no other characters, and a terminal may not either
	}
	return &e
}

// parseResponse reads a successful answer. What is missing is an error: a
// caller must not take a token of another kind for an access token.
func parseResponse(body []byte) (*Response, error) {
	var r Response
	if err := json.Unmarshal(body, &r); err != nil {
		// The decoder's error may quote the token, so it stays here.
		return nil, errors.New("the answer is not the JSON object of RFC 8693 section 2.2.1")
	}
	switch {
	case r.AccessToken == "" || len(r.AccessToken) > MaxToken:
		return nil, fmt.Errorf("access_token: got %d bytes, want 1 to %d", len(r.AccessToken), MaxToken)
	case !printable(r.AccessToken): // RFC 6749 appendix A.12: it goes into headers, and to terminals
		return nil, errors.New("access_token: got characters that no token has, want printable ASCII")
	case r.IssuedTokenType != TypeAccessToken && r.IssuedTokenType != TypeJWT:
		return nil, fmt.Errorf("issued_token_type: got %q, want %s", r.IssuedTokenType, TypeAccessToken)
	case !strings.EqualFold(r.TokenType, "Bearer"):
		return nil, fmt.Errorf("token_type: got %q, want Bearer", r.TokenType)
	case r.ExpiresIn < 0:
		return nil, fmt.Errorf("expires_in: got %d, want seconds from now", r.ExpiresIn)
	}
	return &r, nil
}

// checkEndpoint refuses to send a token in the clear.
func checkEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return errors.New("token endpoint: want an https URL without user and fragment")
	}
	if fetch.Private(u) {
		return nil
	}
	return fmt.Errorf("token endpoint: got scheme %q for %s, want https (http only on a loopback address)", u.Scheme, u.Host)
}
