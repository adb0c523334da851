package session

import (
	"bufio"
	"bytes"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/gateway/access"
)

// TestLearn: which answers of an upstream have an id, each through a real proxy. All reach the
// client byte for byte.
func TestLearn(t *testing.T) {
	const json = "application/json"
	filler := strings.Repeat("x", maxBody)
	for _, test := range []struct {
		name, contentType, text string
		id                      string // that is learned
		why                     string // why none is; empty for answers that need not have one
		change                  func(http.Header)
		status                  int
	}{
		{name: "the notary server's", contentType: json, text: `{"sessionId":"3a4b"}`, id: "3a4b"},
		{name: "others", contentType: "application/json; charset=utf-8", text: "{ \"x\": [{}], \"sessionId\" : \"\\u0033a4b\" }\n", id: "3a4b"},
		{name: "identity", contentType: json, text: `{"sessionId":"3a4b"}`, id: "3a4b", change: encoded("identity")},
		{name: "the longest", contentType: json, text: `{"sessionId":"` + filler[:maxID] + `"}`, id: filler[:maxID]},
		{name: "refused", contentType: json, text: `{"sessionId":"3a4b"}`, status: 400},
		{name: "created", contentType: json, text: `{"sessionId":"3a4b"}`, status: 201},
		{name: "no content", status: 204},
		{name: "a page", contentType: "text/html", text: `{"sessionId":"3a4b"}`, why: "not JSON"},
		{name: "no type", text: ``, why: "not JSON"},
		{name: "compressed", contentType: json, text: `{"sessionId":"3a4b"}`, why: "compressed", change: encoded("br")},
		{name: "no id", contentType: json, text: `{"sessionid":"3a4b"}`, why: "missing"},
		{name: "null", contentType: json, text: `{"sessionId":null}`, why: "want a string"},
		{name: "empty", contentType: json, text: `{"sessionId":""}`, why: "want 1 to 128"},
		{name: "too long an id", contentType: json, text: `{"sessionId":"` + filler[:maxID+1] + `"}`, why: "want 1 to 128"},
		{name: "a space", contentType: json, text: `{"sessionId":"a b"}`, why: "visible ASCII"},
		{name: "two", contentType: json, text: `{"sessionId":"3a4b","sessionId":"5c6d"}`, why: "twice"},
		{name: "no object", contentType: json, text: `["3a4b"]`, why: "not a JSON object"},
		{name: "cut", contentType: json, text: `{"sessionId":"3a4b"`, why: "not JSON"},
		{name: "more", contentType: json, text: `{"sessionId":"3a4b"}{}`, why: "goes on"},
		{name: "just held", contentType: json, text: `{"sessionId":"3a4b"}` + strings.Repeat(" ", maxBody-20), id: "3a4b"},
		{name: "too long", contentType: json, text: `{"sessionId":"3a4b"}` + strings.Repeat(" ", 3*maxBody), why: "more than 65536"},
	} {
		for _, chunked := range []bool{false, true} {
			t.Run(test.name, func(t *testing.T) {
				var unlearned error
				s := newSessions(t, Config{OnUnlearned: func(_ *http.Request, err error) { unlearned = err }})
				client := serve(t, s, func(w http.ResponseWriter, r *http.Request) {
					h := w.Header()
					h["Content-Type"] = nil
					if test.contentType != "" {
						h.Set("Content-Type", test.contentType)
					}
					if test.change != nil {
						test.change(h)
					}
					w.WriteHeader(max(test.status, 200))
					for part := range strings.SplitAfterSeq(test.text, ":") {
						io.WriteString(w, part)
						if chunked {
							http.NewResponseController(w).Flush()
						}
					}
				})
				answer, text := client(tcp)
				contentType := answer.Header.Get("Content-Type")
				if answer.StatusCode != max(test.status, 200) || text != test.text || contentType != test.contentType {
					t.Errorf("the client got %d, %q and %d bytes, want what the upstream said", answer.StatusCode, contentType, len(text))
				}
				if test.id == "" {
					wantEmpty(t, s)
				} else {
					begin(t, s, test.id).End()
				}
				if (unlearned == nil) != (test.why == "") || unlearned != nil && !strings.Contains(unlearned.Error(), test.why) {
					t.Errorf("got %v, want to be told %q", unlearned, test.why)
				}
			})
		}
	}
}

func encoded(as string) func(http.Header) {
	return func(h http.Header) { h.Set("Content-Encoding", as) }
}

// serve puts Create between a client and an upstream, over real sockets. It returns the client.
func serve(t *testing.T, s *Sessions, upstream http.HandlerFunc) func(body string) (*http.Response, string) {
	t.Helper()
	back := httptest.NewServer(upstream)
	t.Cleanup(back.Close)
	target, err := url.Parse(back.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: &http.Transport{DisableCompression: true},
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.Create(w, r, person("alice"), proxy); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(front.Close)
	return func(text string) (*http.Response, string) {
		t.Helper()
		r, err := http.NewRequest("POST", front.URL+"/session", strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Accept-Encoding", "gzip")
		answer, err := front.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		return answer, body(t, answer.Body)
	}
}

// watched is a writer that looks at the sessions when the client would see a byte.
type watched struct {
	http.ResponseWriter
	before func()
}

func (w watched) Write(b []byte) (int, error) {
	w.before()
	return w.ResponseWriter.Write(b)
}

// TestKnownBeforeSeen: the client may use the id in the moment in which he sees it.
func TestKnownBeforeSeen(t *testing.T) {
	for name, c := range map[string]Config{"learned": {}, "issued": {Issue: true}} {
		s := newSessions(t, c)
		seen := false
		w := watched{httptest.NewRecorder(), func() { seen = true; wantCounts(t, s, 1, 0) }}
		if err := s.Create(w, post(tcp), person("alice"), answers("3a4b")); err != nil || !seen {
			t.Errorf("%s: got %v, and an answer: %v", name, err, seen)
		}
	}
}

// TestHeaderFirst: of an answer that takes its time, the header is not held back.
func TestHeaderFirst(t *testing.T) {
	s := newSessions(t, Config{})
	shown := make(chan struct{})
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := s.Create(w, r, person("alice"), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Trailer", "X-Late")
			w.WriteHeader(http.StatusProcessing)
			w.WriteHeader(http.StatusOK)
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
			<-shown
			io.WriteString(w, `{"sessionId":"3a4b"}`)
			w.Header().Set("X-Late", "trailer")
		}))
		if err != nil {
			t.Error(err)
		}
	}))
	defer back.Close()
	answer, err := back.Client().Post(back.URL, "application/json", strings.NewReader(tcp))
	close(shown)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text := body(t, answer.Body)
	if text != `{"sessionId":"3a4b"}` || answer.Trailer.Get("X-Late") != "trailer" || answer.Header.Get("X-Late") != "" {
		t.Errorf("got %q, header %v, trailer %v", text, answer.Header, answer.Trailer)
	}
	begin(t, s, "3a4b").End()
}

// TestRepeated: an id that the upstream hands out twice stays with whom it was given first.
func TestRepeated(t *testing.T) {
	var unlearned error
	s := newSessions(t, Config{OnUnlearned: func(_ *http.Request, err error) { unlearned = err }})
	for _, name := range []string{"alice", "mallory"} {
		w := httptest.NewRecorder()
		if err := s.Create(w, post(tcp), person(name), answers("3a4b")); err != nil || w.Body.String() != `{"sessionId":"3a4b"}` {
			t.Fatalf("%s: got %v and %s", name, err, w.Body)
		}
	}
	if unlearned == nil || !strings.Contains(unlearned.Error(), "good already") {
		t.Errorf("got %v, want to be told of the second", unlearned)
	}
	_, err := s.Begin(use("3a4b"), person("mallory"), nil)
	refused(t, err, access.OtherIdentity)
	session := begin(t, s, "3a4b")
	if session.Who.Name != "alice" {
		t.Errorf("the id is %s's, want alice's", session.Who.Name)
	}
	session.Upgraded()
	session.End()
	wantEmpty(t, s)
}

// TestCutAnswer: an upstream that dies in the middle of its answer leaves nothing behind, and the
// client sees that it was cut.
func TestCutAnswer(t *testing.T) {
	s := newSessions(t, Config{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		r, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{\"sessionId\":\"3a4b\"")
	}()
	proxy := &httputil.ReverseProxy{
		Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: listener.Addr().String()}) },
		ErrorLog: log.New(io.Discard, "", 0),
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = s.Create(w, r, person("alice"), proxy)
	}))
	answer, err := front.Client().Post(front.URL, "application/json", strings.NewReader(tcp))
	if err == nil {
		var text bytes.Buffer
		if _, err := text.ReadFrom(answer.Body); err == nil {
			t.Errorf("got a whole answer %q", &text)
		}
		answer.Body.Close()
	}
	front.Close() // waits for the handler
	wantEmpty(t, s)
}

// TestSlowUpstream: while an upstream thinks, others get ids and use them.
func TestSlowUpstream(t *testing.T) {
	s := newSessions(t, Config{TTL: time.Minute})
	upstream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.Create(httptest.NewRecorder(), post(tcp), person("bob"), answers("5c6d")); err != nil {
			t.Error(err)
		}
		begin(t, s, "5c6d").Upgraded()
		answers("3a4b").ServeHTTP(w, r)
	})
	if err := s.Create(httptest.NewRecorder(), post(tcp), person("alice"), upstream); err != nil {
		t.Fatal(err)
	}
	wantCounts(t, s, 1, 1)
}
