package blackbox

import (
	"io"
	"strings"
	"testing"
)

// TestHostileAnswers: an upstream that answers oddly, or pretends to be the gateway. No answer that could be
// read as two goes on, and the connection to the client is as good afterwards as before.
func TestHostileAnswers(t *testing.T) {
	t.Parallel()
	for _, profile := range profiles {
		t.Run(profile, func(t *testing.T) {
			t.Parallel()
			w := stand(t, profile, "sessions: off\n"+tokens)
			answers := map[string]string{}
			w.up.serve = func(_ *upstream, c *exchange) bool {
				text, ok := answers[c.target]
				if ok {
					io.WriteString(c, text)
				}
				return ok
			}
			for i, tt := range []struct {
				name, answer string
				want         string // as a script has it: the status, and lines of the head
			}{
				{"a request id of its own", "HTTP/1.1 200 OK\r\nX-Request-Id: theirs\r\nContent-Length: 2\r\n\r\nok", "200\nx-request-id: $id1\n\nok"},
				{"hop-by-hop headers", "HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nProxy-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nok",
					"200\n!x-hop\n!keep-alive\n!proxy-authenticate\n\nok"},
				{"a challenge of its own", "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=theirs\r\nContent-Length: 2\r\n\r\nno", "401\nwww-authenticate: Basic realm=theirs\n\nno"},
				{"hints first", "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "103"},
				{"a length and a coding", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "200 502\n!content-length"},
				{"two codings", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "502"},
				{"a trailer with the gateway's name", "HTTP/1.1 200 OK\r\nTrailer: X-Request-Id\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Request-Id: theirs\r\n\r\n", "200\nx-request-id: $id2\n\nok"},
				{"no body where none may be", "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nno", "204\n\n"},
				{"two answers", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", "200\n\nok"},
				{"a status that is none", "HTTP/1.1 99 No\r\nContent-Length: 2\r\n\r\nok", "502"},
				{"a line that is no header", "HTTP/1.1 200 OK\r\nno header\r\nContent-Length: 2\r\n\r\nok", "502"},
				{"HTTP/0.9", "ok", "502"},
				{"for caches", "HTTP/1.1 200 OK\r\nCache-Control: public\r\nContent-Length: 2\r\n\r\nok", "200\ncache-control: public\n\nok"},
			} {
				path := "/" + string(rune('a'+i))
				answers[path] = tt.answer
				c := w.dial()
				c.send("GET " + path + " HTTP/1.1\r\nHost: gw\r\n" + w.bearer("a") + "\r\n")
				a := c.receive()
				vars := map[string]string{}
				if err := matchStatus(vars, strings.Split(tt.want, "\n"), a); err != nil {
					t.Errorf("%s: %v", tt.name, err)
				}
				if vars["id1"] == "theirs" || vars["id2"] == "theirs" || strings.Contains(a.body, "poison") {
					t.Errorf("%s: got %v %q", tt.name, a.header, a.body)
				}
				if a.status == 103 {
					c.receive()
				}
				// Whoever comes next, on this connection or another, gets an answer of his own.
				for _, next := range []*client{c, w.dial()} {
					next.send("GET /next HTTP/1.1\r\nHost: gw\r\n" + w.bearer("a") + "\r\n")
					if a := next.receive(); a.err == nil && a.body != "GET /next\n" {
						t.Errorf("after %s: got %d %q", tt.name, a.status, a.body)
					}
				}
			}
		})
	}
}
