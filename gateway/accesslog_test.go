package gateway_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/confidential-token-broker/ctb/ctbtest"
	"github.com/confidential-token-broker/ctb/gateway"
)

// TestTokensInTheLog: every bearer token can be found again by its jti or the
// beginning of its hash, and no other credentials leave a trace.
func TestTokensInTheLog(t *testing.T) {
	hash := func(s string) string {
		sum := sha256.Sum256([]byte(s))
		return hex.EncodeToString(sum[:6])
	}
	g := newRig(t, setup{})
	named, nameless := g.issuer.Token(ctbtest.Claims{"jti": "t-7"}), g.issuer.Token(ctbtest.Claims{"jti": nil})
	for _, tt := range []struct{ name, header, want, not string }{
		{"accepted", "Bearer " + named, `"jti":"t-7"`, "token_sha256"},
		{"accepted without a jti", "Bearer " + nameless, `"token_sha256":"` + hash(nameless) + `"`, nameless},
		{"refused", "Bearer refused", `"token_sha256":"` + hash("refused") + `"`, `"jti"`},
		{"refused, spaces around", "bearer   refused ", `"token_sha256":"` + hash("refused") + `"`, `"jti"`},
		{"a password", "Basic dTpw", `"status":401`, "token_sha256"},
		{"no scheme", "dTpw", `"status":401`, "token_sha256"},
		{"no token", "Bearer", `"status":400`, "token_sha256"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := "/" + strings.ReplaceAll(tt.name, " ", "-")
			g.raw("GET " + path + " HTTP/1.1\r\nHost: gw\r\nConnection: close\r\nAuthorization: " + tt.header + "\r\n\r\n")
			for line := range strings.Lines(g.waitLog(`"path":"` + path + `"`)) {
				if strings.Contains(line, `"path":"`+path+`"`) && (!strings.Contains(line, tt.want) || strings.Contains(line, tt.not)) {
					t.Errorf("got %s, want %s and no %s", line, tt.want, tt.not)
				}
			}
		})
	}
}

// TestStrangersCannotFillTheLog: their lines are rationed and counted, those of
// who has a token are not.
func TestStrangersCannotFillTheLog(t *testing.T) {
	iss := ctbtest.NewIssuer(t)
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		h, err := gateway.New(gateway.Config{
			Upstream: &url.URL{Scheme: "http", Host: "upstream"}, Credentials: tokens(t, iss.Verifier()),
			Transport: transportFunc(answerOK), Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		send := func(path string, good bool) {
			r := httptest.NewRequest("GET", path, nil)
			if good {
				r = iss.Request("GET", path, nil)
			}
			h.ServeHTTP(httptest.NewRecorder(), r)
		}
		for range 150 {
			send("/stranger", false)
			send("/a/../b", false)
			send("/guest", true)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		send("/stranger/later", false)
		got := log.String()
		for text, want := range map[string]int{"path=/guest": 150, "status=40": 101, "path=/stranger/later": 1, "suppressed=200": 1} {
			if n := strings.Count(got, text); n != want {
				t.Errorf("%q is in %d lines, want %d", text, n, want)
			}
		}
	})
}

// answerOK is an upstream without a network.
func answerOK(*http.Request) (*http.Response, error) { return httptest.NewRecorder().Result(), nil }

// TestLogLinesAreShort: what a stranger sends fills no disk, though each of his lines has room for all of his header.
func TestLogLinesAreShort(t *testing.T) {
	g := newRig(t, setup{})
	long := strings.Repeat("a\x1b", 10<<10)
	g.raw("GET /" + url.PathEscape(long) + " HTTP/1.1\r\nHost: " + strings.Repeat("h", 10<<10) + "\r\nConnection: close\r\n\r\n")
	g.raw(strings.Repeat("M", 10<<10) + " /end HTTP/1.1\r\nHost: gw\r\nConnection: close\r\n\r\n")
	for line := range strings.Lines(g.waitLog(`"path":"/end"`)) {
		if len(line) > 8<<10 {
			t.Errorf("a line has %d bytes", len(line))
		}
	}
}
