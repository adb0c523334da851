package gateway_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// letters reads as n bytes that repeat with no power of two.
type letters struct{ at, n int64 }

func (l *letters) Read(p []byte) (int, error) {
	if l.at == l.n {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), l.n-l.at))
	for i := range n {
		p[i] = byte('a' + (l.at+int64(i))%23)
	}
	l.at += int64(n)
	return n, nil
}

// TestBigBodies streams a body far beyond any buffer both ways, unchanged.
func TestBigBodies(t *testing.T) {
	const size = 64 << 20
	g := newRig(t, setup{upstream: func(w http.ResponseWriter, r *http.Request) {
		h := sha256.New()
		if _, err := io.Copy(h, r.Body); err != nil {
			t.Error(err)
		}
		w.Header().Set("Upload-Sum", hex.EncodeToString(h.Sum(nil)))
		io.Copy(w, &letters{n: size})
	}})
	h := sha256.New()
	io.Copy(h, &letters{n: size})
	want := hex.EncodeToString(h.Sum(nil))

	req, err := http.NewRequest("POST", g.gateway.URL, &letters{n: size})
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+g.issuer.Token(nil))
	res, err := g.gateway.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	h.Reset()
	n, err := io.Copy(h, res.Body)
	if err != nil || n != size {
		t.Fatalf("got %d bytes, %v, want %d", n, err, size)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want || res.Header.Get("Upload-Sum") != want {
		t.Error("the body changed on its way")
	}
}

// TestEventStream: what the upstream flushes is at the client before the
// upstream goes on.
func TestEventStream(t *testing.T) {
	next := make(chan struct{})
	g := newRig(t, setup{upstream: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
		}
	}})
	req, _ := http.NewRequest("GET", g.gateway.URL, nil)
	req.Header.Set("Authorization", "Bearer "+g.issuer.Token(nil))
	res, err := g.gateway.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	for i := range 3 {
		if !lines.Scan() || lines.Text() != fmt.Sprintf("data: %d", i) {
			t.Fatalf("got %q, %v, want event %d", lines.Text(), lines.Err(), i)
		}
		lines.Scan()
		next <- struct{}{}
	}
}

// TestUpgrade: after a 101 the two ends talk as they like, the upstream first.
func TestUpgrade(t *testing.T) {
	for _, protocol := range []string{"websocket", "TCP"} {
		t.Run(protocol, func(t *testing.T) {
			g := newRig(t, setup{upstream: echo})
			const request = "GET /notarize?sessionId=1 HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: %s\r\nAuthorization: Bearer %s\r\n\r\n"

			if res, _ := g.raw(fmt.Sprintf(request, protocol, "x")); res.StatusCode != http.StatusUnauthorized {
				t.Errorf("bad token: got %d, want 401", res.StatusCode)
			}

			c := g.dial()
			fmt.Fprintf(c, request, protocol, g.issuer.Token(nil))
			r := bufio.NewReader(c)
			res, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != http.StatusSwitchingProtocols || !strings.EqualFold(res.Header.Get("Upgrade"), protocol) {
				t.Fatalf("got %d to %q, want 101 to %s", res.StatusCode, res.Header.Get("Upgrade"), protocol)
			}
			if hello, err := r.ReadString('\n'); hello != "the upstream speaks first\n" {
				t.Fatalf("got %q, %v", hello, err)
			}
			const size = 4 << 20
			go io.Copy(c, &letters{n: size})
			got, want := sha256.New(), sha256.New()
			io.Copy(want, &letters{n: size})
			if _, err := io.CopyN(got, r, size); err != nil {
				t.Fatal(err)
			}
			if string(got.Sum(nil)) != string(want.Sum(nil)) {
				t.Error("the bytes changed on their way")
			}
			c.Close()
			g.waitLog(`"status":101`)
		})
	}
}

// TestNoOtherUpgrade: the upstream is never asked to switch to a protocol that
// carries further requests, for nobody would look at those; and if it does so
// unasked, the client does not get the connection.
func TestNoOtherUpgrade(t *testing.T) {
	for _, headers := range []string{
		"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
		"Connection: Upgrade\r\nUpgrade: H2C\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
		"Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n",
		"Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n",
		"Connection: Upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n",
		"Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n",
		"Upgrade: websocket\r\n",
	} {
		g := newRig(t, setup{upstream: echo})
		c := g.dial()
		fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: gw\r\n%sAuthorization: Bearer %s\r\n\r\n", headers, g.issuer.Token(nil))
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != http.StatusBadGateway {
			t.Errorf("%q: got %d, want 502", headers, res.StatusCode)
		}
		for _, r := range g.reached() {
			if got := r.Header["Upgrade"]; got != nil || r.Header["Http2-Settings"] != nil {
				t.Errorf("%q: the upstream was asked to upgrade to %q", headers, got)
			}
		}
	}
}

// echo upgrades the connection, says hello and returns what it gets.
func echo(w http.ResponseWriter, r *http.Request) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\nthe upstream speaks first\n", r.Header.Get("Upgrade"))
	rw.Flush()
	io.Copy(conn, rw)
}

// TestBrokenOff: an answer that ends too early ends too early for the client as
// well, and the log has a line for it.
func TestBrokenOff(t *testing.T) {
	g := newRig(t, setup{upstream: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "ten bytes.")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}})
	req, _ := http.NewRequest("GET", g.gateway.URL, nil)
	req.Header.Set("Authorization", "Bearer "+g.issuer.Token(nil))
	res, err := g.gateway.Client().Do(req)
	if err == nil {
		defer res.Body.Close()
		_, err = io.ReadAll(res.Body)
	}
	if err == nil {
		t.Error("got a whole body, want an error")
	}
	g.waitLog(`"msg":"request"`)
}

// TestClientThatSaidAll: who ends his half of the connection behind a request looks gone, and may read on. What he
// reads is no success that nobody gave.
func TestClientThatSaidAll(t *testing.T) {
	for name, tls := range map[string]bool{"TLS": true, "plain": false} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, setup{plain: !tls, upstream: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }})
			c := g.dial()
			fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer %s\r\n\r\n", g.issuer.Token(nil))
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if res, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil && res.StatusCode < 500 {
				t.Errorf("got %d, of an upstream that has not answered", res.StatusCode)
			}
			g.waitLog(`"status":499`)
		})
	}
}
