package session

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb/gateway/access"
)

// FuzzCreateBody: what is accepted means the same to the standard library's reader, stays
// within the bounds, and what the upstream then gets is accepted again and asks for no more.
func FuzzCreateBody(f *testing.F) {
	for _, seed := range []string{
		tcp, `{"clientType":"Websocket","maxSentData":4096,"maxRecvData":null}`, `{"clientType":"Tcp","maxSent\u0044ata":7}`,
		`{"clientType":"Tcp","maxSentData":1e3}`, `{"clientType":"Tcp","x":{"a":[1,2,{"b":null}]},"\u0000":"\ud83d\ude00"}`, `["Tcp"]`, `{`, ``,
	} {
		f.Add([]byte(seed), uint64(4096), true)
	}
	f.Fuzz(func(t *testing.T, text []byte, most uint64, byClaim bool) {
		b, err := parseCreate(text)
		if err != nil {
			refused(t, err, access.BadSessionQuery)
			return
		}
		var oracle map[string]json.RawMessage
		if err := json.Unmarshal(text, &oracle); err != nil {
			t.Fatalf("%q was accepted: %v", text, err)
		}
		same := func(name string, got *uint64) {
			var want *uint64
			if err := json.Unmarshal(orNull(oracle[name]), &want); err != nil || (got == nil) != (want == nil) || got != nil && *got != *want {
				t.Errorf("%q: %s is %v, want %v (%v)", text, name, got, want, err)
			}
		}
		same("maxSentData", b.sent)
		same("maxRecvData", b.recv)
		limit := bound{limited: true, most: most, byClaim: byClaim}
		if err := b.within(limit, bound{}); err != nil {
			if b.sent == nil || *b.sent <= most {
				t.Errorf("%q was refused at %d: %v", text, most, err)
			}
			return
		}
		sent := b.capped(limit, bound{})
		again, err := parseCreate(sent)
		if err != nil {
			t.Fatalf("%q becomes %q: %v", text, sent, err)
		}
		if again.sent == nil && byClaim || again.sent != nil && *again.sent > most {
			t.Errorf("%q becomes %q, want at most %d asked for", text, sent, most)
		}
		var after map[string]json.RawMessage
		if err := json.Unmarshal(sent, &after); err != nil {
			t.Fatalf("%q becomes %q: %v", text, sent, err)
		}
		after["maxSentData"], oracle["maxSentData"] = nil, nil
		if len(after) != len(oracle) {
			t.Errorf("%q becomes %q: members are lost or added", text, sent)
		}
		for name, value := range oracle {
			if string(after[name]) != string(value) {
				t.Errorf("%q becomes %q: %q has changed", text, sent, name)
			}
		}
	})
}

func orNull(m json.RawMessage) json.RawMessage {
	if m == nil {
		return json.RawMessage("null")
	}
	return m
}

// FuzzLearn: whatever the upstream answers, in whichever parts, reaches the client as it is; and
// an id is known exactly if the text is JSON that has it.
func FuzzLearn(f *testing.F) {
	for _, seed := range []string{
		`{"sessionId":"3a4b"}`, `{"sessionId":"3a4b","sessionId":"5c6d"}`, `{"x":1,"session\u0049d":"\u0033a4b"} `, `{"sessionId":"a b"}`, `{"sessionId":"%00"}`, `[]`, ``,
	} {
		f.Add(seed, 200, uint8(3))
	}
	f.Fuzz(func(t *testing.T, text string, status int, part uint8) {
		if status < 200 || status > 999 {
			return
		}
		told := false
		s := newSessions(t, Config{OnUnlearned: func(*http.Request, error) { told = true }})
		w := httptest.NewRecorder()
		err := s.Create(w, post(tcp), person("alice"), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			for rest := text; rest != ""; {
				n := min(len(rest), int(part)+1)
				io.WriteString(w, rest[:n])
				rest = rest[n:]
			}
		}))
		if err != nil || w.Code != status || w.Body.String() != text {
			t.Fatalf("got %v, %d and %q, want %d and %q", err, w.Code, w.Body, status, text)
		}
		known := s.Counts().Waiting
		var oracle map[string]any
		if known == 1 {
			id, _ := "", json.Unmarshal([]byte(text), &oracle)
			if id, _ = oracle["sessionId"].(string); status != 200 || id == "" {
				t.Fatalf("%d %q: an id was learned", status, text)
			}
			begin(t, s, id).Upgraded()
		}
		if told != (status == 200 && known == 0) {
			t.Errorf("%d %q: %d ids, and told that there is none: %v", status, text, known, told)
		}
	})
}

// FuzzSessionID: a query has an id only if every reader finds this one, and nothing but
// harmless characters of it come back.
func FuzzSessionID(f *testing.F) {
	for _, seed := range []string{
		"sessionId=3a4b", "a=b&sessionId=3a4b&c", "sessionId=3a4b&sessionId=3a4b", "session%49d=%33a4b", "sessionId=3a4b;sessionId=x",
		"sessionId=%3Cscript%3E", "sessionId=%zz", "sessionId=a+b", "sessionId=%ff%0d%0a", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		id, err := sessionID(query)
		if err == nil {
			values, err := url.ParseQuery(query)
			if err != nil || len(values["sessionId"]) != 1 || values["sessionId"][0] != id || len(id) > maxID || strings.ContainsAny(id, " \r\n\x00") {
				t.Fatalf("%q: got %q (%v)", query, id, err)
			}
			err = unknown(id)
			if shown, ok := errors.AsType[*access.Refusal](err); !ok || strings.Contains(shown.Error(), id) && len(id) > 12 {
				t.Fatalf("%q: the log gets %q", query, err)
			}
		}
		s := newSessions(t, Config{})
		_, err = s.Begin(&http.Request{URL: &url.URL{Path: "/notarize", RawQuery: query}}, nil, nil)
		refusal, ok := errors.AsType[*access.Refusal](err)
		if !ok || len(refusal.Public) > 120 || len(refusal.Error()) > 120 {
			t.Fatalf("%q: got %v", query, err)
		}
		for _, c := range refusal.Public {
			if c < ' ' || c > '~' || strings.ContainsRune(`<>&'"\`, c) {
				t.Fatalf("%q: got %q, which has %q", query, refusal.Public, c)
			}
		}
	})
}
