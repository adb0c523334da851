package hostile

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/ctbtest"
	"github.com/confidential-token-broker/ctb/exchange"
)

// exchangeForms are bodies of RFC 8693 requests.
func exchangeForms(w *world) *table[string] {
	good := form(w.pair(party.good).id)
	with := func(name string, values ...string) string {
		v := url.Values{}
		for k, all := range good {
			v[k] = all
		}
		if v[name] = values; len(values) == 0 {
			delete(v, name)
		}
		return v.Encode()
	}
	const parse = "exchange.ParseRequest"
	decided := but{parse: accepts} // who may have what is for the rules
	const bad, target, scope, client = "invalid_request: ", "invalid_target: ", "invalid_scope: ", "invalid_client: "
	faults := []fault[string]{
		{"nothing", "", bad + "grant_type is missing", nil},
		{"JSON", `{"grant_type":"x"}`, bad + "grant_type is missing", nil},
		{"a broken escape", good.Encode() + "&x=%zz", bad + "the body is not a form", nil},
		{"a semicolon", good.Encode() + ";x=1", bad + "the body is not a form", nil},
		{"10,000 parameters", good.Encode() + strings.Repeat("&a=", 10000), bad + "the body is not a form", nil},
		{"2,000 different parameters", good.Encode() + many(2000), bad + "the form has more than", nil},
		{"another grant", with("grant_type", "authorization_code"), "unsupported_grant_type: ", nil},
		{"two grants", with("grant_type", exchange.GrantType, "password"), bad + "a parameter other than", nil},
		{"no subject", with("subject_token"), bad + "subject_token is missing", nil},
		{"two subjects", with("subject_token", good.Get("subject_token"), "x"), bad + "a parameter other than", nil},
		{"a subject of 17 KiB", with("subject_token", strings.Repeat("x", 17<<10)), bad + "subject_token is longer than 16384", nil},
		{"a subject with a line break", with("subject_token", good.Get("subject_token")+"\r\n"), bad + "subject_token", decided},
		{"a subject without a type", with("subject_token_type"), bad + "subject_token_type is missing", nil},
		{"a subject of SAML", with("subject_token_type", "urn:ietf:params:oauth:token-type:saml2"), bad + "subject_token_type must be", nil},
		{"an access token as subject", with("subject_token_type", exchange.TypeAccessToken), bad + "subject_token_type must be", nil},
		{"a refresh token wanted", with("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token"), bad + "requested_token_type must be", nil},
		{"an actor", with("actor_token", "x"), bad + "actor_token", nil},
		{"a client secret", with("client_secret", "s3cret"), client + "client_secret", nil},
		{"a client assertion", with("client_assertion", "x.y.z"), client + "client_assertion", nil},
		{"a client with a line break", with("client_id", "a\r\nb"), bad + "client_id must be printable", nil},
		{"another client", with("client_id", "mallory"), bad + "client_id must be the client", decided},
		{"authorization details", with("authorization_details", `[{"type":"admin"}]`), bad + "authorization_details", nil},
		{"an audience that cannot be seen", with("audience", "a\x00b"), target + "audience must be text", nil},
		{"an audience of invalid UTF-8", with("audience", "\xff"), target + "audience must be text", nil},
		{"33 audiences", with("audience", strings.Split(strings.Repeat("a ", 32)+"a", " ")...), target + "more than 32", nil},
		{"an audience of no rule", with("audience", "https://mallory.example"), target + "a token for this audience", decided},
		{"one audience too many", with("audience", ctbtest.Audience, "https://mallory.example"), target + "a token for this audience", decided},
		{"a relative resource", with("resource", "../admin"), target + "resource must be an absolute URI", nil},
		{"a resource with a fragment", with("resource", ctbtest.Audience+"#x"), target + "resource must be an absolute URI", nil},
		{"a resource with a space", with("resource", ctbtest.Audience+" x"), target + "resource must be an absolute URI", nil},
		{"a scope with quotes", with("scope", `read"reports`), scope + "scope must be words", nil},
		{"a scope with a line break", with("scope", "read:reports\nadmin"), scope + "scope must be words", nil},
		{"a scope of 5 KiB", with("scope", strings.Repeat("x", 5<<10)), scope + "scope is longer", nil},
		{"2,000 scopes", with("scope", strings.Repeat("x ", 1999)+"x"), scope + "scope has more than", nil},
		{"a scope of no rule", with("scope", "admin"), scope + "this scope is not given", decided},
	}
	return &table[string]{
		kind: "exchange request", good: good.Encode(), faults: faults,
		secret: func(string) []string { return []string{good.Get("subject_token"), "s3cret"} },
		doors: []door[string]{
			{name: parse, open: func(t *testing.T, body string) answer {
				v, err := url.ParseQuery(body)
				if err != nil {
					return answer{text: bad + "the body is not a form"} // ParseRequest takes what was parsed
				}
				_, err = exchange.ParseRequest(v)
				var refusal *exchange.Error
				if errors.As(err, &refusal) {
					return answer{text: refusal.Code + ": " + refusal.Description}
				}
				return of(err)
			}},
			{name: "ctb-broker /token", open: func(t *testing.T, body string) answer {
				a := w.post(t, "/token", "application/x-www-form-urlencoded", body)
				status := "400 "
				if strings.Contains(a.text, "invalid_client") {
					status = "401 "
				}
				if !a.accepted && !strings.HasPrefix(a.text, status) && !strings.HasPrefix(a.text, "413 ") {
					t.Errorf("ctb-broker /token: it says %s, want %s", clip(a.text), status)
				}
				return a
			}},
		},
	}
}

func many(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "&p%d=1", i)
	}
	return b.String()
}

// originalBodies are those of the compatibility profile's /stsToken.
func originalBodies(w *world) *table[string] {
	id := w.pair(party.good).id
	good := fmt.Sprintf(`{"id_token":%q}`, id)
	const bad = "400 invalid_request: "
	const body, missing, tooLong = bad + "the body must be a JSON object", bad + "id_token is missing", bad + "subject_token is longer"
	faults := []fault[string]{
		{"nothing", "", body, nil},
		{"a form", form(id).Encode(), body, nil},
		{"the token alone", id, body, nil},
		{"a string", fmt.Sprintf("%q", id), body, nil},
		{"an array", "[" + good + "]", body, nil},
		{"null", "null", missing, nil},
		{"cut off", good[:len(good)-1], body, nil},
		{"two objects", good + good, body, nil},
		{"a byte order mark", "\ufeff" + good, body, nil},
		{"nested without an end", strings.Repeat(`{"id_token":`, 2000), body, nil},
		{"the token twice", fmt.Sprintf(`{"id_token":%q,"id_token":"x"}`, id), body, nil},
		{"the token twice, escaped", fmt.Sprintf(`{"id_token":%q,"id_to\u006ben":"x"}`, id), body, nil},
		{"a list of tokens", fmt.Sprintf(`{"id_token":[%q]}`, id), body, nil},
		{"a number for a token", `{"id_token":7}`, body, nil},
		{"null for a token", `{"id_token":null}`, missing, nil},
		{"an empty token", `{"id_token":""}`, missing, nil},
		{"the token in capitals", fmt.Sprintf(`{"ID_TOKEN":%q}`, id), missing, nil},
		{"a token of 17 KiB", `{"id_token":"` + strings.Repeat("x", 17<<10) + `"}`, tooLong, nil},
		{"33 KiB", good + strings.Repeat(" ", 33<<10), "413 invalid_request", nil},
	}
	send := func(method string) func(t *testing.T, body string) answer {
		return func(t *testing.T, body string) answer {
			r, err := http.NewRequest(method, "https://"+w.broker(t)+"/stsToken", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			return ask(t, w.client(nil), r)
		}
	}
	return &table[string]{
		kind: "original request", good: good, faults: faults, secret: func(string) []string { return []string{id} },
		doors: []door[string]{{name: "POST /stsToken", open: send("POST")}, {name: "GET /stsToken", open: send("GET")}},
	}
}

// brokerRequests are requests as written, whose fault is in their HTTP.
func brokerRequests(w *world) *table[string] {
	body := form(w.pair(party.good).id).Encode()
	const formType = "Content-Type: application/x-www-form-urlencoded\r\n"
	request := func(line, headers, body string) string {
		return line + "\r\nHost: broker\r\nConnection: close\r\n" + headers + "\r\n" + body
	}
	length := func(body string) string { return fmt.Sprintf("Content-Length: %d\r\n", len(body)) }
	post := func(headers string) string {
		return request("POST /token HTTP/1.1", headers+formType+length(body), body)
	}
	typed := func(kind string) string { return request("POST /token HTTP/1.1", kind+length(body), body) }
	line := func(line string) string { return request(line, formType+length(body), body) }
	chunked := func(body string) string {
		return request("POST /token HTTP/1.1", formType+"Transfer-Encoding: chunked\r\n", body)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	io.WriteString(z, body)
	z.Close()
	var bomb bytes.Buffer
	z = gzip.NewWriter(&bomb)
	io.WriteString(z, "x="+strings.Repeat("a", 10<<20))
	z.Close()
	const form = "400 invalid_request: the body must be application/x-www-form-urlencoded"
	faults := []fault[string]{
		// The request line.
		{"GET", line("GET /token HTTP/1.1"), "405 method_not_allowed", nil},
		{"PUT", line("PUT /token HTTP/1.1"), "405 method_not_allowed", nil},
		{"TRACE", line("TRACE /token HTTP/1.1"), "405 method_not_allowed", nil},
		{"OPTIONS", line("OPTIONS /token HTTP/1.1"), "405 method_not_allowed", nil},
		{"post in lower case", line("post /token HTTP/1.1"), "405 method_not_allowed", nil},
		{"a method that nobody knows", line("POSTX /token HTTP/1.1"), "405 method_not_allowed", nil},
		{"GET that would be POST", request("GET /token HTTP/1.1", "X-HTTP-Method-Override: POST\r\n"+formType+length(body), body), "405 method_not_allowed", nil},
		{"POST for the keys", line("POST /.well-known/jwks.json HTTP/1.1"), "405 method_not_allowed", nil},
		{"POST for the attestation document", line("POST /.well-known/attestation HTTP/1.1"), "405 method_not_allowed", nil},
		{"a nonce that anybody guesses", line("GET /.well-known/attestation?nonce=AAAA HTTP/1.1"), "400 invalid_request: want one parameter, nonce, with 16 to 64 random bytes", nil},
		{"a parameter that nobody knows", line("GET /.well-known/attestation?collateral=none HTTP/1.1"), "400 invalid_request: want one parameter, nonce", nil},
		{"a tunnel", line("CONNECT 127.0.0.1:22 HTTP/1.1"), "404 not_found", nil},
		{"a path with a slash behind", line("POST /token/ HTTP/1.1"), "404 not_found", nil},
		{"a path with two slashes", line("POST //token HTTP/1.1"), "404 not_found", nil},
		{"a path in capitals", line("POST /Token HTTP/1.1"), "404 not_found", nil},
		{"a path that climbs", line("POST /x/../token HTTP/1.1"), "404 not_found", nil},
		{"a path with a parameter", line("POST /token;x HTTP/1.1"), "404 not_found", nil},
		{"a path with a NUL", line("POST /token%00 HTTP/1.1"), "404 not_found", nil},
		{"a path with a line break", line("POST /token%0d%0aX:1 HTTP/1.1"), "404 not_found", nil},
		{"a broken escape", line("POST /token%zz HTTP/1.1"), "400 ", nil},
		{"a path of 20 KiB", line("POST /" + strings.Repeat("x", 20<<10) + " HTTP/1.1"), "", but{"ctb-broker": "431 ", "broker.Broker": "404 not_found"}},
		{"the token in the query", line("POST /token?" + body + " HTTP/1.1"), "400 invalid_request: parameters belong into the body", nil},
		{"HTTP/3", line("POST /token HTTP/3.0"), "505 ", nil},
		{"no HTTP", "POST /token\r\n\r\n", "400 ", nil},

		// The headers.
		{"no host", "POST /token HTTP/1.1\r\nConnection: close\r\n" + formType + length(body) + "\r\n" + body, "400 ", nil},
		{"two hosts", post("Host: mallory\r\n"), "400 ", nil},
		{"a client's password", post("Authorization: Basic Y2xpZW50OnMzY3JldA==\r\n"), "401 invalid_client", nil},
		{"a token beside the form", post("Authorization: Bearer x\r\n"), "401 invalid_client", nil},
		{"a proof of possession", post("DPoP: e30.e30.x\r\n"), "400 invalid_request", nil},
		{"a header without a colon", post("X-Admin\r\n"), "400 ", nil},
		{"a header with a space before the colon", post("X-Admin : 1\r\n"), "400 ", nil},
		{"a header with a NUL", post("X-Admin: \x00\r\n"), "400 ", nil},
		{"headers of 2 MiB", post("X: " + strings.Repeat("x", 2<<20) + "\r\n"), "431 ", nil},
		{"two lengths", post("Content-Length: 5\r\n"), "400 ", nil},
		{"a negative length", request("POST /token HTTP/1.1", formType+"Content-Length: -1\r\n", body), "400 ", nil},
		{"a length with a sign", request("POST /token HTTP/1.1", formType+fmt.Sprintf("Content-Length: +%d\r\n", len(body)), body), "400 ", nil},
		{"a transfer coding that nobody knows", post("Transfer-Encoding: gzip, chunked\r\n"), "501 ", nil},
		{"two transfer codings", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), "501 ", nil},
		{"an expectation", post("Expect: the-spanish-inquisition\r\n"), "417 ", nil},

		// The body.
		{"no content type", typed(""), form, nil},
		{"JSON", typed("Content-Type: application/json\r\n"), form, nil},
		{"multipart", typed("Content-Type: multipart/form-data; boundary=x\r\n"), form, nil},
		{"a content type that looks right", typed("Content-Type: application/x-www-form-urlencodedx\r\n"), form, nil},
		{"a content type that cannot be read", typed("Content-Type: application/x-www-form-urlencoded; =\r\n"), form, nil},
		{"33 KiB", request("POST /token HTTP/1.1", formType+"Content-Length: 33792\r\n", "x="+strings.Repeat("a", 33790)), "413 invalid_request", nil},
		{"33 KiB in chunks", chunked(strings.Repeat("400\r\n"+strings.Repeat("a", 1024)+"\r\n", 33) + "0\r\n\r\n"), "413 invalid_request", nil},
		{"a chunk of 2^64", chunked("10000000000000000\r\nx"), "400 invalid_request: the body could not be read", nil},
		{"a chunk with a sign", chunked("-1\r\nx\r\n0\r\n\r\n"), "400 invalid_request: the body could not be read", nil},
		{"packed", request("POST /token HTTP/1.1", formType+"Content-Encoding: gzip\r\n"+length(packed.String()), packed.String()), "400 invalid_request", nil},
		{"packed, 10 MiB", request("POST /token HTTP/1.1", formType+"Content-Encoding: gzip\r\n"+length(bomb.String()), bomb.String()), "400 invalid_request", nil},
	}
	library := ctbtest.NewBroker(w.t, &ctbtest.BrokerConfig{IdP: w.idp})
	insecure := &tls.Config{InsecureSkipVerify: true} // its evidence is not the matter here
	return &table[string]{
		kind: "HTTP request to a broker", good: post(""), faults: faults,
		secret: func(string) []string { return []string{body, "s3cret"} },
		doors: []door[string]{
			{name: "ctb-broker", open: func(t *testing.T, request string) answer { return raw(t, w.broker(t), insecure, request) }},
			{name: "broker.Broker", open: func(t *testing.T, request string) answer {
				return raw(t, strings.TrimPrefix(library.URL, "https://"), insecure, request)
			}},
		},
	}
}

// raw sends a request as it is written; a nil configuration means no TLS.
func raw(t *testing.T, address string, config *tls.Config, request string) answer {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	if config != nil {
		c := config.Clone()
		c.ServerName = "127.0.0.1"
		conn = tls.Client(conn, c)
	}
	go io.WriteString(conn, request) // the server may answer, and close, before it has read all
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return answer{text: "no answer: " + err.Error()}
	}
	return read(t, resp)
}

// bearerRequests carry a good token in a way that must not do.
func bearerRequests(w *world) *table[string] {
	good := w.token()
	auth := func(value string) string { return "Authorization: " + value + "\r\n" }
	// The gateway looks for a token in other places too, so it says "the request has no token" and not which header is missing.
	const malformed, several, another, none = "400 invalid_request: the Authorization header ", "400 invalid_request: the request has more than one",
		"401 unauthorized: the Authorization header has another scheme", "401 unauthorized: the request has no "
	faults := []fault[string]{
		{"nothing", "", none, nil},
		{"an empty header", auth(""), another, nil},
		{"the scheme alone", auth("Bearer"), malformed, nil},
		{"spaces for a token", auth("Bearer    "), malformed, nil},
		{"the token alone", auth(good), another, nil},
		{"Basic", auth("Basic dTpw"), another, nil},
		{"Basic before", auth("Basic dTpw, Bearer " + good), another, nil},
		{"DPoP", auth("DPoP " + good), another, nil},
		{"a scheme that begins the same", auth("BearerX " + good), another, nil},
		{"a tab behind the scheme", auth("Bearer\t" + good), another, nil},
		{"twice the same", auth("Bearer "+good) + auth("Bearer "+good), several, nil},
		{"a bad one behind", auth("Bearer "+good) + auth("Bearer x"), several, nil},
		{"a bad one before, in other letters", "aUTHORIZATION: Bearer x\r\n" + auth("Bearer "+good), several, nil},
		{"an empty one before", auth("") + auth("Bearer "+good), several, nil},
		{"two with a comma", auth("Bearer " + good + "," + good), malformed, nil},
		{"two with a space", auth("Bearer " + good + " " + good), malformed, nil},
		{"a tab within", auth("Bearer " + good + "\tx"), malformed, nil},
		{"in quotes", auth(`Bearer "` + good + `"`), "401 invalid_token", nil},
		{"percent-encoded", auth("Bearer " + strings.ReplaceAll(good, ".", "%2E")), "401 invalid_token", nil},
		{"a NUL behind", auth("Bearer " + good + "\x00"), "400 ", nil},
		{"a bare line break within", auth("Bearer " + good[:20] + "\r" + good[20:]), "400 ", nil},
		{"in a cookie", "Cookie: access_token=" + good + "\r\n", none, nil},
		{"for a proxy", "Proxy-Authorization: Bearer " + good + "\r\n", none, nil},
		{"forwarded", "X-Forwarded-Authorization: Bearer " + good + "\r\n", none, nil},
		{"with an underscore", "Authorization_: Bearer " + good + "\r\n", none, nil},
		{"a space before the colon", "Authorization : Bearer " + good + "\r\n", "400 ", nil},
		{"in a hop-by-hop header", "Connection: Authorization\r\n" + auth("Basic dTpw"), another, nil},
		{"in the query", "X-Original-URL: /?access_token=" + good + "\r\n", none, nil},
		{"in a trailer", "Transfer-Encoding: chunked\r\nTrailer: Authorization\r\n\r\n0\r\nAuthorization: Bearer " + good + "\r\n", none, nil},
	}
	verifier := made(ctb.NewVerifier(ctb.Config{Issuer: issuer, Audience: ctbtest.Audience, Keys: made(ctb.ParseKeys(w.jwks))}))
	handler := verifier.Protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	plain, secure := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	w.t.Cleanup(plain.Close)
	w.t.Cleanup(secure.Close)
	gateway := w.startGateway()
	trust := &tls.Config{RootCAs: w.trust}
	send := func(address string, c *tls.Config) func(t *testing.T, headers string) answer {
		return func(t *testing.T, headers string) answer {
			return raw(t, address, c, "GET /page HTTP/1.1\r\nHost: api\r\nConnection: close\r\n"+headers+"\r\n")
		}
	}
	return &table[string]{
		kind: "bearer request", good: auth("Bearer " + good), faults: faults,
		secret: func(string) []string { return []string{good, strings.Split(good, ".")[2]} },
		doors: []door[string]{
			{name: "ctb.Protect", open: send(plain.Listener.Addr().String(), nil)},
			{name: "ctb.Protect, TLS", open: send(secure.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true})},
			{name: "ctb-gateway", open: send(gateway, trust)},
		},
	}
}
