package hostile

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/ctbtest"
)

// keyServers answer for good keys in a way that must not do: the keys can't be
// had, and that is not the fault of the token.
func keyServers(w *world) *table[http.HandlerFunc] {
	send := func(status int, kind string, body []byte) http.HandlerFunc {
		return func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", kind)
			rw.WriteHeader(status)
			rw.Write(body)
		}
	}
	good := send(http.StatusOK, "application/json", w.jwks)
	// Somebody on the way, who has the keys too, and would be believed.
	plain := w.plain.serve("/keys.json", w.jwks)
	loop := "/" + rand.Text() + ".json"
	w.files.handle(loop, http.RedirectHandler(loop, http.StatusFound))
	raw := func(text string) http.HandlerFunc { // an answer as written
		return func(rw http.ResponseWriter, r *http.Request) {
			conn, _, err := http.NewResponseController(rw).Hijack()
			if err != nil {
				panic(err)
			}
			fmt.Fprint(conn, text)
			conn.Close()
		}
	}
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	z.Write([]byte(`{"keys":[` + strings.Repeat(" ", 20<<20)))
	z.Close()
	const tooLarge = "answer has more than "
	faults := []fault[http.HandlerFunc]{
		{"not found", http.NotFound, "got status 404", nil},
		{"down", send(503, "application/json", w.jwks), "got status 503", nil},
		{"no content", send(204, "application/json", nil), "got status 204", nil},
		{"a part", send(206, "application/json", w.jwks), "got status 206", nil},
		{"a web page", send(200, "text/html; charset=utf-8", w.jwks), "got a web page", nil},
		{"nothing", send(200, "application/json", nil), "", but{
			"ctb.RemoteKeys": "JWK set: ", "attest.KeySet": "JWK set: ", "ctb-gateway": "JWK set: ", "ctb verify URL": "JWK set: ", "ctb inspect URL": "got nothing"}},
		{"5 MiB", send(200, "application/json", bytes.Repeat([]byte(" "), 5<<20)), tooLarge, nil},
		{"5 MiB, without a length", func(rw http.ResponseWriter, r *http.Request) {
			for range 5 << 4 {
				rw.Write(bytes.Repeat([]byte(" "), 64<<10))
				http.NewResponseController(rw).Flush()
			}
		}, tooLarge, nil},
		{"20 MiB, packed", func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", "application/json")
			rw.Header().Set("Content-Encoding", "gzip")
			rw.Write(bomb.Bytes())
		}, tooLarge, nil},
		{"packed, it says", func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Encoding", "gzip")
			rw.Write(w.jwks)
		}, "gzip: invalid header", nil},
		{"shorter than it says", func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Length", fmt.Sprint(len(w.jwks)+1))
			rw.Write(w.jwks)
		}, "answer broke off", nil},
		{"sent on to plain http", func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, plain, http.StatusFound) }, "redirect from https to http", nil},
		{"sent on to a file", func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, "file:///etc/passwd", http.StatusFound)
		}, "redirect from https to file", nil},
		{"sent round and round", func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, loop, http.StatusFound) }, "more than 3 redirects", nil},
		{"sent on to nowhere", raw("HTTP/1.1 302 Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"), "", but{
			"ctb.RemoteKeys": "GET ", "attest.KeySet": "GET ", "ctb-gateway": "GET ", "ctb verify URL": "GET ", "ctb inspect URL": "GET "}},
		{"no HTTP", raw("SSH-2.0-OpenSSH_9.9\r\n"), "malformed HTTP", nil},
		{"two lengths", raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"), "Content-Length", nil},
		{"a header without an end", raw("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20)), "server response headers exceeded", nil},
		{"no answer", raw(""), "EOF", nil},
	}
	return &table[http.HandlerFunc]{kind: "key server", good: good, faults: faults, doors: keyServerDoors(w),
		secret: func(http.HandlerFunc) []string { return []string{strings.Split(w.token(), ".")[0]} }}
}

func keyServerDoors(w *world) []door[http.HandlerFunc] {
	once := func(h http.HandlerFunc) string { return w.files.handle("/"+rand.Text()+".json", h) }
	flags := []string{"--json", "--ca", w.path("tls.pem"), "--policy", w.path("policy.yaml"), "--collateral", w.path("collateral.json")}
	remote := func(h http.HandlerFunc) ctb.KeySet { return &ctb.RemoteKeys{URL: once(h), Client: w.fetcher()} }
	return []door[http.HandlerFunc]{
		{name: "ctb.RemoteKeys", open: func(t *testing.T, h http.HandlerFunc) answer { return usable(t, remote(h), w.token()) }},
		{name: "ctb.Protect", want: "503 temporarily_unavailable", open: func(t *testing.T, h http.HandlerFunc) answer {
			v := made(ctb.NewVerifier(ctb.Config{Issuer: issuer, Audience: ctbtest.Audience, Keys: remote(h)}))
			s := httptest.NewServer(v.Protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
			defer s.Close()
			return ask(t, w.client(w.trust), bearer(t, s.URL, w.token()))
		}},
		{name: "attest.KeySet", open: func(t *testing.T, h http.HandlerFunc) answer {
			c := w.attested()
			c.URL, c.Client = once(h), w.fetcher()
			return usable(t, made(attest.NewKeySet(c)), w.token())
		}},
		{name: "ctb-gateway", open: func(t *testing.T, h http.HandlerFunc) answer {
			return w.gateway(t, w.beside(t, "gateway.yaml", []byte(w.gatewayText(once(h))), gatewayFiles...), w.token())
		}},
		{name: "ctb inspect URL", open: func(t *testing.T, h http.HandlerFunc) answer {
			return call(t, nil, exits{1}, "ctb", append([]string{"inspect", once(h)}, flags...)...)
		}},
		{name: "ctb verify URL", open: func(t *testing.T, h http.HandlerFunc) answer {
			return call(t, []byte(w.token()), exits{1}, "ctb", append([]string{"verify", "-", "--jwks", once(h), "--issuer", issuer, "--audience", ctbtest.Audience}, flags...)...)
		}},
	}
}
