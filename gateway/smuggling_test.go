package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestNoSecondRequest sends requests whose end could be read in two ways, with a
// second request behind. Whatever becomes of the first, the second reaches
// nobody, and the connection ends.
func TestNoSecondRequest(t *testing.T) {
	g := newRig(t, setup{upstream: func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %d", r.URL.Path, len(body))
	}})
	auth := "Authorization: Bearer " + g.issuer.Token(nil) + "\r\n"
	second := "GET /second HTTP/1.1\r\nHost: gw\r\n" + auth + "\r\n"
	for _, tt := range []struct {
		what, head, body string
		status           int
	}{
		{"chunked beside a length", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "0\r\n\r\n", 200},
		{"a length beside chunked", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n", 200},
		{"chunked alone", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n", 200},
		{"chunked, in another case", "Transfer-Encoding: Chunked\r\n", "0\r\n\r\n", 200},
		{"chunked with an extension", "Transfer-Encoding: chunked\r\n", "0;x=y\r\n\r\n", 200},
		{"chunked twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n", 501},
		{"chunked after another", "Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n", 501},
		{"chunked after a tab", "Transfer-Encoding:\tchunked\r\n", "0\r\n\r\n", 200},
		{"chunked with a control character", "Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n", 400},
		{"a space before the colon", "Transfer-Encoding : chunked\r\n", "0\r\n\r\n", 400},
		{"two lengths", "Content-Length: 0\r\nContent-Length: 4\r\n", "", 400},
		{"a list of lengths", "Content-Length: 0, 0\r\n", "", 400},
		{"a signed length", "Content-Length: +0\r\n", "", 400},
		{"a chunk size with a sign", "Transfer-Encoding: chunked\r\n", "+0\r\n\r\n", 502},
		{"a chunk size in hex of C", "Transfer-Encoding: chunked\r\n", "0x0\r\n\r\n", 502},
		{"a bare line feed in a chunk", "Transfer-Encoding: chunked\r\n", "1\na\r\n0\r\n\r\n", 0},
	} {
		t.Run(tt.what, func(t *testing.T) {
			c := g.dial()
			c.SetDeadline(time.Now().Add(time.Minute)) // for a hang; it does not decide
			go io.WriteString(c, "POST /first HTTP/1.1\r\nHost: gw\r\n"+auth+tt.head+"\r\n"+tt.body+second)
			r := bufio.NewReader(c)
			res, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(res.Body)
			if tt.status != 0 && res.StatusCode != tt.status || !res.Close {
				t.Errorf("got %d %q, close %v, want %d and the end", res.StatusCode, body, res.Close, tt.status)
			}
			if rest, _ := io.ReadAll(r); len(rest) != 0 {
				t.Errorf("there is a second answer: %q", rest)
			}
			for _, r := range g.reached() {
				if r.URL.Path != "/first" {
					t.Errorf("%s reached the upstream", r.URL.Path)
				}
			}
		})
	}
}

// TestPipelined: requests whose ends are clear may follow each other on a connection.
func TestPipelined(t *testing.T) {
	g := newRig(t, setup{})
	auth := "Authorization: Bearer " + g.issuer.Token(nil) + "\r\n"
	c := g.dial()
	go io.WriteString(c, "POST /1 HTTP/1.1\r\nHost: gw\r\nContent-Length: 2\r\n"+auth+"\r\nhiGET /2 HTTP/1.1\r\nHost: gw\r\n"+auth+"\r\n")
	r := bufio.NewReader(c)
	for range 2 {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if io.Copy(io.Discard, res.Body); res.StatusCode != 200 || res.Close {
			t.Errorf("got %d, close %v", res.StatusCode, res.Close)
		}
	}
	if n := len(g.reached()); n != 2 {
		t.Errorf("%d requests reached the upstream, want 2", n)
	}
}

// TestHopByHop: what is between client and gateway, or gateway and upstream, alone goes no further.
func TestHopByHop(t *testing.T) {
	g := newRig(t, setup{upstream: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "X-Hop")
		w.Header().Set("X-Hop", "1")
		w.Header().Set("Keep-Alive", "timeout=5")
		w.Header().Set("Proxy-Authenticate", "Basic")
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "body")
		w.Header().Set("X-Sum", "abc")
	}})
	res, _ := g.raw("GET / HTTP/1.1\r\nHost: gw\r\nConnection: keep-alive, X-Private\r\nX-Private: 1\r\nKeep-Alive: 5\r\nProxy-Authorization: Basic x\r\nProxy-Connection: close\r\nTE: trailers, deflate\r\nAuthorization: Bearer " + g.issuer.Token(nil) + "\r\n\r\n")
	for _, name := range []string{"X-Hop", "Keep-Alive", "Proxy-Authenticate"} {
		if res.Header[name] != nil {
			t.Errorf("the client got %s", name)
		}
	}
	if res.Trailer.Get("X-Sum") != "abc" {
		t.Errorf("the client got the trailers %v", res.Trailer)
	}
	for _, name := range []string{"X-Private", "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "Connection"} {
		if values := g.seen[0].Header[name]; values != nil {
			t.Errorf("the upstream got %s: %q", name, values)
		}
	}
	if te := strings.Join(g.reached()[0].Header["Te"], ","); te != "trailers" {
		t.Errorf("the upstream got TE: %s", te)
	}
}

// TestExpectContinue: who is refused sends no body, who is not is asked for it.
func TestExpectContinue(t *testing.T) {
	g := newRig(t, setup{upstream: func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }})
	ask := func(token string) (net *bufio.Reader, c halfCloser, status string) {
		c = g.dial()
		fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: gw\r\nExpect: 100-continue\r\nContent-Length: 5\r\nAuthorization: Bearer %s\r\n\r\n", token)
		r := bufio.NewReader(c)
		status, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return r, c, status
	}
	if _, _, status := ask("x"); !strings.HasPrefix(status, "HTTP/1.1 401") {
		t.Errorf("a bad token: got %s", status)
	}
	r, c, status := ask(g.issuer.Token(nil))
	if !strings.HasPrefix(status, "HTTP/1.1 100") {
		t.Fatalf("got %s", status)
	}
	r.ReadString('\n')
	io.WriteString(c, "hello")
	res, err := http.ReadResponse(r, nil) // of an upstream that said 100 as well, once for both
	if err != nil {
		t.Fatal(err)
	}
	if body, _ := io.ReadAll(res.Body); res.StatusCode != 200 || string(body) != "hello" {
		t.Errorf("got %d %q", res.StatusCode, body)
	}
}

// TestNoSecondRequestOfHTTP10: that version knows no transfer coding, and net/http takes the field away unseen.
// Who passed the request on may have believed it (RFC 9112 section 6.1), so the connection ends with every answer.
func TestNoSecondRequestOfHTTP10(t *testing.T) {
	g := newRig(t, setup{})
	head := " HTTP/1.0\r\nHost: gw\r\nConnection: keep-alive\r\nAuthorization: Bearer " + g.issuer.Token(nil) + "\r\n"
	for what, first := range map[string]string{
		"chunked":                 "POST /first" + head + "Transfer-Encoding: chunked\r\n\r\n",
		"chunked beside a length": "POST /first" + head + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n",
		"neither":                 "GET /first" + head + "\r\n",
	} {
		t.Run(what, func(t *testing.T) {
			c := g.dial()
			c.SetDeadline(time.Now().Add(time.Minute)) // for a hang; it does not decide
			go io.WriteString(c, first+"GET /second"+head+"\r\n")
			answers, _ := io.ReadAll(c)
			if n := strings.Count(string(answers), "HTTP/1."); n != 1 || strings.Contains(string(answers), "keep-alive") {
				t.Errorf("got %d answers, want one and the end: %s", n, answers)
			}
			if seen := g.reached(); len(seen) != 1 || seen[0].URL.Path != "/first" {
				t.Errorf("%d requests reached the upstream, want the first", len(seen))
			}
		})
	}
}
