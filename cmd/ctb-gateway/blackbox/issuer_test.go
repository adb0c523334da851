package blackbox

import (
	"crypto/rand"
	"fmt"
	"net"
	"testing"
	"time"
)

// TestKidFlood: tokens with random kids cause one fetch of the keys in 30 s at most, and whoever has a
// known kid meanwhile is not in their way.
func TestKidFlood(t *testing.T) {
	t.Parallel()
	for _, profile := range profiles {
		t.Run(profile, func(t *testing.T) {
			t.Parallel()
			key := newKey(t, "ES256")
			i := newIssuer(t, jwks(t, key))
			w := stand(t, profile, fmt.Sprintf("authorization: {jwt: {jwks_url: %q, type: JWT, issuer: %q, audience: api}}\n", i.url, i.url))
			header := func(kid string) string {
				return "Authorization: Bearer " + sign(t, key, fmt.Sprintf(`{"alg":"ES256","typ":"JWT","kid":%q}`, kid),
					claims(fmt.Sprintf(`{"iss":%q,"aud":"api"}`, i.url), true)) + "\r\n"
			}
			start := time.Now()
			if a := w.get("/", header(key.ID)); a.status != 200 {
				t.Fatalf("got %d %q, want 200", a.status, a.body)
			}
			for n := range 200 {
				if a := w.get("/", header(rand.Text())); a.status != 401 {
					t.Fatalf("an unknown kid: got %d %q, want 401", a.status, a.body)
				}
				if n%10 == 0 {
					if a := w.get("/", header(key.ID)); a.status != 200 {
						t.Fatalf("the known kid: got %d %q, want 200", a.status, a.body)
					}
				}
			}
			// One at the start, and on a machine so slow that the flood takes longer, one for each 30 s.
			if got, most := i.fetches.Load(), 1+int64(time.Since(start)/(30*time.Second))+1; got < 1 || got > most {
				t.Errorf("%d fetches, want at most %d", got, most)
			}
		})
	}
}

// TestKeysAway: the gateway starts without its issuer, says so by 503 to whoever shows a token, and lets
// the token in when the keys can be had.
func TestKeysAway(t *testing.T) {
	t.Parallel()
	for _, profile := range profiles {
		t.Run(profile, func(t *testing.T) {
			t.Parallel()
			key := newKey(t, "ES256")
			reserved, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			url := "http://" + reserved.Addr().String()
			reserved.Close()
			w := stand(t, profile, fmt.Sprintf("authorization: {jwt: {jwks_url: %q, type: JWT, issuer: %q, audience: api}}\n", url, url))
			token := "Authorization: Bearer " + sign(t, key, fmt.Sprintf(`{"alg":"ES256","typ":"JWT","kid":%q}`, key.ID),
				claims(fmt.Sprintf(`{"iss":%q,"aud":"api"}`, url), true)) + "\r\n"
			for range 3 {
				if a := w.get("/", token); a.status != 503 || a.header.Get("Retry-After") == "" {
					t.Fatalf("without keys: got %d %q %v, want 503 and Retry-After", a.status, a.body, a.header)
				}
			}
			if a := w.get("/", ""); a.status != 401 {
				t.Errorf("without a token: got %d %q, want 401", a.status, a.body)
			}
			back, err := net.Listen("tcp", reserved.Addr().String())
			if err != nil {
				t.Skipf("the issuer's port is taken: %v", err)
			}
			serveIssuer(t, back, jwks(t, key))
			w.becomes(token, 200)
		})
	}
}
