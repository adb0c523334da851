package session

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/confidential-token-broker/ctb/gateway/access"
)

// The notary server's words.
const (
	noJSON     = "Failed to parse the request body as JSON"
	wrongShape = "Failed to deserialize the JSON body into the target type"
	noType     = "Expected request with `Content-Type: application/json`"
	noBody     = "Failed to buffer the request body"
	sentTooBig = "Max sent data requested exceeds the global maximum threshold"
	recvTooBig = "Max recv data requested exceeds the global maximum threshold"
)

func TestBodies(t *testing.T) {
	s := newSessions(t, Config{Issue: true, MaxSent: 4096, MaxRecv: 16384})
	for _, test := range []struct{ body, want string }{
		{tcp, ""},
		{`{"clientType":"Websocket"}`, ""},
		{` { "maxRecvData" : 16384 , "clientType" : "\u0054cp" , "maxSentData" : 4096 } ` + "\n", ""},
		{`{"clientType":"Tcp","maxSentData":null,"maxRecvData":null}`, ""},
		{`{"clientType":"Tcp","maxSentData":0}`, ""},
		{`{"clientType":"Tcp","pluginName":"x","more":{"maxSentData":5000}}`, ""},

		{`{"clientType":"Tcp","maxSentData":4097}`, sentTooBig},
		{`{"clientType":"Tcp","maxSentData":18446744073709551615}`, sentTooBig},
		{`{"clientType":"Tcp","maxSent\u0044ata":4097}`, sentTooBig},
		{`{"clientType":"Tcp","maxRecvData":16385}`, recvTooBig},
		{`{"clientType":"Tcp","maxSentData":4097,"maxRecvData":16385}`, sentTooBig},

		{`{}`, wrongShape},
		{`[]`, wrongShape},
		{`["Tcp",1,1]`, wrongShape},
		{`null`, wrongShape},
		{`{"clienttype":"Tcp"}`, wrongShape},
		{`{"clientType":"tcp"}`, wrongShape},
		{`{"clientType":"Quic"}`, wrongShape},
		{`{"clientType":null}`, wrongShape},
		{`{"clientType":1}`, wrongShape},
		{`{"clientType":"Tcp","maxSentData":-1}`, wrongShape},
		{`{"clientType":"Tcp","maxSentData":1.5}`, wrongShape},
		{`{"clientType":"Tcp","maxSentData":1e3}`, wrongShape},
		{`{"clientType":"Tcp","maxSentData":-0}`, wrongShape},
		{`{"clientType":"Tcp","maxSentData":"1"}`, wrongShape},
		{`{"clientType":"Tcp","maxSentData":18446744073709551616}`, wrongShape},
		{`{"clientType":"Tcp","maxRecvData":[1]}`, wrongShape},
		{`{"clientType":"Tcp","maxSentData":1,"maxSentData":9999}`, wrongShape}, // twice
		{`{"clientType":"Tcp","maxSentData":1,"maxSent\u0044ata":9999}`, wrongShape},
		{`{"clientType":"Tcp","x":{"y":1,"y":2}}`, wrongShape},

		{``, noJSON},
		{`{`, noJSON},
		{`{"clientType":"Tcp"`, noJSON},
		{tcp + tcp, noJSON},
		{tcp + `x`, noJSON},
		{`{"clientType":"Tcp",}`, noJSON},
		{`{"clientType":"Tcp","maxSentData":01}`, noJSON},
		{"{\"clientType\":\"Tcp\",\"x\":\"\xff\"}", noJSON},
		{"\xef\xbb\xbf" + tcp, noJSON},
		{strings.Repeat("[", 20_000), noJSON},
		{tcp + strings.Repeat(" ", maxBody-len(tcp)), ""},
		{tcp + strings.Repeat(" ", maxBody-len(tcp)+1), noBody},
	} {
		w := httptest.NewRecorder()
		err := s.Create(w, post(test.body), person("alice"), noUpstream(t))
		shown := test.body[:min(len(test.body), 80)]
		if test.want == "" {
			if err != nil {
				t.Errorf("%s: got %v", shown, err)
			}
			continue
		}
		if got := refused(t, err, access.BadSessionQuery); got.Public != test.want {
			t.Errorf("%s: got %q (%s), want %q", shown, got.Public, got.Error(), test.want)
		}
		if w.Body.Len() > 0 || w.Code != 200 {
			t.Errorf("%s: something was written beside the refusal", shown)
		}
	}
}

func TestBodyReaders(t *testing.T) {
	s := newSessions(t, Config{Issue: true})
	try := func(change func(*http.Request)) error {
		r := post(tcp)
		change(r)
		return s.Create(httptest.NewRecorder(), r, person("alice"), noUpstream(t))
	}
	for _, good := range []string{"application/json", "application/json; charset=utf-8", "Application/JSON", "application/x.y+json"} {
		if err := try(func(r *http.Request) { r.Header.Set("Content-Type", good) }); err != nil {
			t.Errorf("%s: got %v", good, err)
		}
	}
	for _, bad := range []string{"", "text/plain", "text/json", "application/jsonx", "application/json;;", "image/x+json"} {
		err := try(func(r *http.Request) { r.Header.Set("Content-Type", bad) })
		if got := refused(t, err, access.BadSessionQuery); got.Public != noType {
			t.Errorf("%q: got %q", bad, got.Public)
		}
	}
	refused(t, try(func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }), access.BadSessionQuery)
	gone := errors.New("the client has gone")
	got := refused(t, try(func(r *http.Request) { r.Body = io.NopCloser(iotest.ErrReader(gone)) }), access.BadSessionQuery)
	if got.Public != noBody || !errors.Is(&got, gone) {
		t.Errorf("got %q and %v", got.Public, got.Err)
	}
	got = refused(t, try(func(r *http.Request) { r.Body = nil }), access.BadSessionQuery)
	if got.Public != noJSON {
		t.Errorf("got %q for no body at all", got.Public)
	}
}

// TestClaims: what a token's claims allow, what is refused, and what the upstream is asked for.
func TestClaims(t *testing.T) {
	const wrong = "wrong type"
	for _, test := range []struct {
		name           string
		maxSent        uint64
		claims, body   string
		want, upstream string // a refusal; or a body, empty for what came
	}{
		{"no claim", 4096, ``, `{"clientType":"Tcp","maxSentData":4096}`, "", ""},
		{"no claim, too much", 4096, ``, `{"clientType":"Tcp","maxSentData":4097}`, sentTooBig, ""},
		{"no claim, nothing asked for", 4096, ``, tcp, "", ""},
		{"lowered", 4096, `,"limits":{"sent":100}`, `{"clientType":"Tcp","maxSentData":100}`, "", ""},
		{"lowered, too much", 4096, `,"limits":{"sent":100}`, `{"clientType":"Tcp","maxSentData":101}`, sentTooBig, ""},
		{"lowered, nothing asked for", 4096, `,"limits":{"sent":100}`, tcp, "", `{"clientType":"Tcp","maxSentData":100}`},
		{"lowered, null", 4096, `,"limits":{"sent":100}`, `{"maxSentData": null, "clientType": "Tcp", "a\u0062c": [1, 2]}`, "",
			`{"clientType":"Tcp","abc":[1, 2],"maxSentData":100}`},
		{"only a claim", 0, `,"limits":{"sent":100}`, `{"clientType":"Tcp","maxSentData":101}`, sentTooBig, ""},
		{"only a claim, nothing asked for", 0, `,"limits":{"sent":100}`, tcp, "", `{"clientType":"Tcp","maxSentData":100}`},
		{"zero is nothing", 0, `,"limits":{"sent":0}`, `{"clientType":"Tcp","maxSentData":1}`, sentTooBig, ""},
		{"zero is nothing, nothing asked for", 0, `,"limits":{"sent":0}`, tcp, "", `{"clientType":"Tcp","maxSentData":0}`},
		{"not raised", 4096, `,"limits":{"sent":5000}`, `{"clientType":"Tcp","maxSentData":4097}`, sentTooBig, ""},
		{"not raised, nothing asked for", 4096, `,"limits":{"sent":5000}`, tcp, "", ""},
		{"a string", 4096, `,"limits":{"sent":"100"}`, `{"clientType":"Tcp","maxSentData":101}`, sentTooBig, ""},
		{"100.0", 4096, `,"limits":{"sent":100.0}`, `{"clientType":"Tcp","maxSentData":101}`, sentTooBig, ""},
		{"1e2", 4096, `,"limits":{"sent":1e2}`, tcp, "", `{"clientType":"Tcp","maxSentData":100}`},
		{"2^64-1", 0, `,"limits":{"sent":18446744073709551615}`, `{"clientType":"Tcp","maxSentData":18446744073709551615}`, "", ""},
		{"both", 0, `,"limits":{"sent":1,"recv":2}`, tcp, "", `{"clientType":"Tcp","maxSentData":1,"maxRecvData":2}`},
		{"recv", 0, `,"limits":{"recv":2}`, `{"clientType":"Tcp","maxRecvData":3}`, recvTooBig, ""},
		{"a fraction", 4096, `,"limits":{"sent":1.5}`, tcp, wrong, ""},
		{"negative", 4096, `,"limits":{"sent":-1}`, tcp, wrong, ""},
		{"beyond 2^64", 4096, `,"limits":{"sent":1e30}`, tcp, wrong, ""},
		{"infinite", 4096, `,"limits":{"sent":1e999}`, tcp, wrong, ""},
		{"a word", 4096, `,"limits":{"sent":"many"}`, tcp, wrong, ""},
		{"a signed string", 4096, `,"limits":{"sent":"+1"}`, tcp, wrong, ""},
		{"an empty string", 4096, `,"limits":{"sent":""}`, tcp, wrong, ""},
		{"null", 4096, `,"limits":{"sent":null}`, tcp, wrong, ""},
		{"true", 4096, `,"limits":{"sent":true}`, tcp, wrong, ""},
		{"an array", 4096, `,"limits":{"recv":[1]}`, tcp, wrong, ""},
		{"an object", 4096, `,"limits":{"sent":{}}`, tcp, wrong, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSessions(t, Config{MaxSent: test.maxSent, MaxSentClaim: []string{"limits", "sent"}, MaxRecvClaim: []string{"limits", "recv"}})
			var got string
			upstream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				got = body(t, r.Body)
				if r.ContentLength != int64(len(got)) || r.Header.Get("Content-Length") != fmt.Sprint(len(got)) {
					t.Errorf("the upstream gets %d bytes with a length of %d and %s", len(got), r.ContentLength, r.Header.Get("Content-Length"))
				}
				answers("id").ServeHTTP(w, r)
			})
			err := s.Create(httptest.NewRecorder(), post(test.body), bearer(t, test.claims), upstream)
			switch {
			case test.want == wrong:
				r := refused(t, err, access.UnexpectedType)
				if r.Requirement == nil || !strings.HasPrefix(r.Requirement.String(), "limits.") || r.Mode != access.JWT {
					t.Errorf("got %+v, want to know the claim", r)
				}
			case test.want != "":
				if r := refused(t, err, access.BadSessionQuery); r.Public != test.want {
					t.Errorf("got %q, want %q", r.Public, test.want)
				}
			case err != nil:
				t.Errorf("got %v", err)
			default:
				if want := test.upstream; want == "" && got != test.body || want != "" && got != want {
					t.Errorf("the upstream gets %s", got)
				}
			}
		})
	}
	// Holders of API keys have no claims.
	s := newSessions(t, Config{Issue: true, MaxSentClaim: []string{"limits"}})
	issue(t, s, person("alice"))
	issue(t, s, nil)
}

// TestFull: neither one identity nor all together have more unused ids than they may.
func TestFull(t *testing.T) {
	clock := newClock()
	s := newSessions(t, Config{Issue: true, Max: 5, MaxPerIdentity: 3, TTL: time.Minute, Now: clock.Now})
	full := func(who *access.Identity) {
		t.Helper()
		err := s.Create(httptest.NewRecorder(), post(tcp), who, nil)
		if r := refused(t, err, access.TooManySessions); r.RetryAfter == 0 || who != nil && r.Mode != who.Mode {
			t.Errorf("got %+v, want a mode and a Retry-After", r)
		}
	}
	alice, bob := person("alice"), person("bob")
	first := issue(t, s, alice)
	issue(t, s, alice)
	issue(t, s, alice)
	full(alice)
	clock.advance(30 * time.Second)
	second := issue(t, s, bob)
	issue(t, s, bob)
	full(bob)
	full(nil)

	session := begin(t, s, first) // an id that may be given back needs its room
	full(alice)
	full(bob)
	session.Upgraded()
	issue(t, s, alice)
	full(alice)
	session.End()

	clock.advance(30 * time.Second) // two of alice's have expired
	wantCounts(t, s, 3, 0)
	issue(t, s, alice)
	issue(t, s, bob)
	full(bob)
	full(alice)
	begin(t, s, second).Upgraded()
	issue(t, s, bob)

	// Nobody in particular has the bound of all.
	s = newSessions(t, Config{Issue: true, Max: 5, MaxPerIdentity: 1})
	for range 5 {
		issue(t, s, nil)
	}
	full(nil)
}

// TestRoomIsGivenBack: an id that was promised and never came takes nobody's room.
func TestRoomIsGivenBack(t *testing.T) {
	s := newSessions(t, Config{Max: 1})
	alice := person("alice")
	for _, upstream := range []http.HandlerFunc{
		func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) },
		func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") },
		func(http.ResponseWriter, *http.Request) {},
		func(w http.ResponseWriter, r *http.Request) {
			err := s.Create(httptest.NewRecorder(), post(tcp), person("bob"), nil) // meanwhile
			refused(t, err, access.TooManySessions)
			panic(http.ErrAbortHandler)
		},
	} {
		func() {
			defer func() {
				if v := recover(); v != nil && v != http.ErrAbortHandler {
					panic(v)
				}
			}()
			if err := s.Create(httptest.NewRecorder(), post(tcp), alice, upstream); err != nil {
				t.Error(err)
			}
		}()
		wantEmpty(t, s)
	}
}

// TestForUpstream: the upstream gets the request as it came, but for what would hide its answer.
func TestForUpstream(t *testing.T) {
	s := newSessions(t, Config{})
	r := post(tcp)
	before := map[string]string{
		"Accept-Encoding": "gzip, br", "Range": "bytes=0-3", "If-Range": `"x"`, "Upgrade": "websocket",
		"Connection": "Upgrade", "Expect": "100-continue", "X-Other": "stays",
	}
	for name, value := range before {
		r.Header.Set(name, value)
	}
	r.TransferEncoding, r.ContentLength = []string{"chunked"}, -1
	upstream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, want := range map[string]string{
			"Accept-Encoding": "identity", "Range": "", "If-Range": "", "Upgrade": "", "Expect": "",
			"X-Other": "stays", "Content-Length": fmt.Sprint(len(tcp)), "Content-Type": "application/json",
		} {
			if got := r.Header.Get(name); got != want {
				t.Errorf("the upstream gets %s: %s, want %q", name, got, want)
			}
		}
		if len(r.TransferEncoding) > 0 || r.ContentLength != int64(len(tcp)) || body(t, r.Body) != tcp {
			t.Errorf("the upstream gets %v with %d bytes", r.TransferEncoding, r.ContentLength)
		}
		answers("id").ServeHTTP(w, r)
	})
	w := httptest.NewRecorder()
	if err := s.Create(w, r, person("alice"), upstream); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(w.Body.Bytes(), []byte(`{"sessionId":"id"}`)) {
		t.Errorf("got %s", w.Body)
	}
	for name, value := range before {
		if r.Header.Get(name) != value {
			t.Errorf("the client's request was changed: %s is %q", name, r.Header.Get(name))
		}
	}
	begin(t, s, "id").End()
}
