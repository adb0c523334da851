package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/confidential-token-broker/ctb/internal/jose"
)

// badToken is one that every guarded peer must refuse.
type badToken struct{ name, token string }

// badTokens are forged, expired and insufficient ones. A peer that let one
// through would be fast for a bad reason.
func badTokens(i *issuer) ([]badToken, error) {
	stranger, err := newIssuer(i.algorithm)
	if err != nil {
		return nil, err
	}
	other := jose.ES256
	if i.algorithm == other {
		other = jose.RS256
	}
	confused, err := newIssuer(other)
	if err != nil {
		return nil, err
	}
	later, earlier := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	bad := []badToken{
		{"no token", ""},
		{"a text that is no token", "reader"},
		{"a token of the algorithm none", unsigned(claims(0, "reader", later))},
	}
	for _, b := range []struct {
		name string
		by   *issuer
		text []byte
	}{
		{"a token of another key", stranger, claims(0, "reader", later)},
		{"a token of another algorithm", confused, claims(0, "reader", later)},
		{"a token that has expired", i, claims(0, "reader", earlier)},
		{"a token of another role", i, claims(0, "stranger", later)},
	} {
		token, err := b.by.token(b.text)
		if err != nil {
			return nil, err
		}
		bad = append(bad, badToken{b.name, token})
	}
	good, err := i.token(claims(0, "reader", later))
	if err != nil {
		return nil, err
	}
	changed, err := i.token(claims(1, "reader", later))
	if err != nil {
		return nil, err
	}
	_, signature, _ := cutLast(good, ".")
	signed, _, _ := cutLast(changed, ".")
	return append(bad, badToken{"a token with another's signature", signed + "." + signature}), nil
}

// answered wants the upstream's answer, for a good token.
func answered(ctx context.Context, url, token string) error {
	status, body, err := ask(ctx, url, token)
	if err != nil {
		return err
	}
	if status != http.StatusOK || !strings.HasPrefix(body, "hello") {
		return fmt.Errorf("a good token: got %d %.60q, want 200 and the upstream's answer", status, body)
	}
	return nil
}

// refuses wants 401 or 403 for every bad token.
func refuses(ctx context.Context, url string, bad []badToken) error {
	for _, b := range bad {
		status, _, err := ask(ctx, url, b.token)
		if err != nil {
			return err
		}
		if status != http.StatusUnauthorized && status != http.StatusForbidden {
			return fmt.Errorf("%s: got %d, want 401 or 403", b.name, status)
		}
	}
	return nil
}

// ask sends one request, as wrk does.
func ask(ctx context.Context, url, token string) (status int, body string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/reports", nil)
	if err != nil {
		return 0, "", err
	}
	req.Close = true
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<10))
	return res.StatusCode, string(text), err
}
