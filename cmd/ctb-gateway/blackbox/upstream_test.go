package blackbox

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// upstream stands in for a notary server. It reads requests from the raw
// connection and looks at each byte of their heads: what the gateway forwards
// must mean the same to every server.
type upstream struct {
	t        testing.TB
	listener net.Listener
	// serve answers in place of the notary, if it returns true.
	serve func(u *upstream, c *exchange) bool
	// upgraded has the connection after a 101; nil means greetAndEcho.
	upgraded func(c *exchange)

	mu      sync.Mutex
	seen    []*request
	secrets []string       // that it must never see
	broken  map[string]int // requests whose body broke off, by method and target, less those that may
	open    map[net.Conn]bool
}

// request is what the upstream saw.
type request struct {
	method string
	target string
	header http.Header // with Host
	body   string      // at most maxKept bytes of it
}

// exchange is a request on its connection.
type exchange struct {
	*request
	net.Conn
	in *bufio.Reader
}

const maxKept = 64 << 10

// newUpstream listens on loopback.
func newUpstream(t testing.TB) *upstream {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &upstream{t: t, listener: listener, open: map[net.Conn]bool{}, broken: map[string]int{}}
	u.accept(listener)
	return u
}

// accept serves the connections of a listener until the test ends.
func (u *upstream) accept(listener net.Listener) {
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			u.mu.Lock()
			u.open[conn] = true
			u.mu.Unlock()
			running.Go(func() { u.converse(conn) })
		}
	})
	u.t.Cleanup(func() {
		listener.Close()
		u.cut()
		running.Wait()
		for what, n := range u.broken {
			if n > 0 {
				u.t.Errorf("upstream: got %d times %s with a body that broke off", n, what)
			}
		}
	})
}

// cut ends every connection.
func (u *upstream) cut() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for conn := range u.open {
		conn.Close()
	}
}

func (u *upstream) address() string { return u.listener.Addr().String() }

// taken returns what was seen since it was called last.
func (u *upstream) taken() []request {
	u.mu.Lock()
	defer u.mu.Unlock()
	var seen []request
	for _, r := range u.seen {
		seen = append(seen, *r)
	}
	u.seen = nil
	return seen
}

// converse serves one connection.
func (u *upstream) converse(conn net.Conn) {
	defer func() {
		conn.Close()
		u.mu.Lock()
		defer u.mu.Unlock()
		delete(u.open, conn)
	}()
	in := bufio.NewReader(conn)
	for {
		r, err := u.read(in)
		if err != nil {
			return
		}
		if !u.answer(&exchange{request: r, Conn: conn, in: in}) {
			return
		}
	}
}

// headLine is a line of a head that no two servers read in two ways.
var headLine = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+: ?[^\\x00-\\x08\\x0a-\\x1f\\x7f]*$")

// read reads one request. One whose meaning is in doubt fails the test.
func (u *upstream) read(in *bufio.Reader) (*request, error) {
	var head bytes.Buffer
	for !bytes.HasSuffix(head.Bytes(), []byte("\r\n\r\n")) {
		line, err := in.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			return nil, err
		}
		head.Write(line)
		if head.Len() > 1<<20 {
			u.t.Error("upstream: a head of more than 1 MiB")
			return nil, io.ErrUnexpectedEOF
		}
	}
	lines := strings.Split(strings.TrimSuffix(head.String(), "\r\n\r\n"), "\r\n")
	for _, line := range lines[1:] {
		if !headLine.MatchString(line) {
			u.t.Errorf("upstream: got the odd line %q", line)
		}
	}
	u.checkFraming(head.String())
	u.checkSecrets(head.String())
	req, err := http.ReadRequest(bufio.NewReader(&head))
	if err != nil {
		u.t.Errorf("upstream: got no request: %v\n%q", err, lines)
		return nil, err
	}
	r := &request{method: req.Method, target: req.RequestURI, header: req.Header}
	r.header.Set("Host", req.Host)
	err = r.readBody(req, in)
	u.mu.Lock()
	defer u.mu.Unlock()
	if err != nil {
		u.broken[r.method+" "+r.target]++
		return nil, err
	}
	u.seen = append(u.seen, r)
	return r, nil
}

// mayBreak says that the bodies of so many such requests may break off.
func (u *upstream) mayBreak(what string, times int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.broken[what] -= times
}

// readBody reads what the head announced, and not a byte more.
func (r *request) readBody(req *http.Request, in *bufio.Reader) error {
	content := io.LimitReader(in, max(0, req.ContentLength))
	chunked := len(req.TransferEncoding) > 0
	if chunked {
		content = httputil.NewChunkedReader(in)
	}
	kept, err := io.ReadAll(io.LimitReader(content, maxKept))
	r.body = string(kept)
	var rest int64
	if err == nil {
		rest, err = io.Copy(io.Discard, content)
	}
	if err == nil && int64(len(kept))+rest < req.ContentLength {
		err = io.ErrUnexpectedEOF
	}
	for line := ""; chunked && err == nil && line != "\r\n"; { // the trailer section
		line, err = in.ReadString('\n')
	}
	return err
}

// checkSecrets wants no credential in a head, however it is written.
func (u *upstream) checkSecrets(head string) {
	if decoded, err := url.PathUnescape(head); err == nil {
		head += decoded
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, s := range u.secrets {
		if strings.Contains(head, s) {
			u.t.Errorf("upstream: got a credential in\n%s", head)
		}
	}
}

// hide names what the upstream must never see.
func (u *upstream) hide(secret string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.secrets = append(u.secrets, secret)
}

// checkFraming wants at most one word on how long the body is, and one host.
func (u *upstream) checkFraming(head string) {
	count := func(name string) int { return strings.Count(strings.ToLower(head), "\r\n"+name+":") }
	if lengths, codings := count("content-length"), count("transfer-encoding"); lengths+codings > 1 {
		u.t.Errorf("upstream: got %d lengths and %d transfer codings in one request\n%s", lengths, codings, head)
	}
	if n := count("host"); n != 1 {
		u.t.Errorf("upstream: got %d Host headers\n%s", n, head)
	}
}

// answer returns whether the connection goes on.
func (u *upstream) answer(c *exchange) bool {
	if u.serve != nil && u.serve(u, c) {
		return false
	}
	path, _, _ := strings.Cut(c.target, "?")
	switch {
	case c.header.Get("Upgrade") != "":
		c.switchProtocols()
		if u.upgraded != nil {
			u.upgraded(c)
		} else {
			greetAndEcho(c)
		}
		return false
	case c.method == "POST" && path == "/session" && strings.Contains(c.header.Get("Accept-Encoding"), "gzip"):
		var body bytes.Buffer
		z := gzip.NewWriter(&body)
		fmt.Fprintf(z, `{"sessionId":%q}`, newUUID())
		z.Close()
		return c.reply(200, "Content-Type: application/json\r\nContent-Encoding: gzip\r\n", body.String())
	case c.method == "POST" && path == "/session":
		return c.reply(200, "Content-Type: application/json\r\n", fmt.Sprintf(`{"sessionId":%q}`, newUUID()))
	case strings.HasPrefix(path, "/status/"):
		var status int
		fmt.Sscanf(path, "/status/%d", &status)
		return c.reply(status, "", "as you wish\n")
	}
	return c.reply(200, "Content-Type: text/plain\r\n", c.method+" "+c.target+"\n")
}

// reply writes a whole answer.
func (c *exchange) reply(status int, headers, body string) bool {
	if c.method == "HEAD" {
		body = ""
	}
	headers += "Access-Control-Allow-Origin: *\r\nAccess-Control-Expose-Headers: *\r\n" // as the notary server has them
	_, err := fmt.Fprintf(c, "HTTP/1.1 %d %s\r\nContent-Length: %d\r\n%s\r\n%s", status, http.StatusText(status), len(body), headers, body)
	return err == nil
}

// switchProtocols answers 101, in a segment of its own.
func (c *exchange) switchProtocols() {
	more := ""
	if key := c.header.Get("Sec-Websocket-Key"); key != "" {
		sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) // RFC 6455 section 1.3
		more = "Sec-WebSocket-Accept: " + base64.StdEncoding.EncodeToString(sum[:]) + "\r\n"
	}
	if offered, _, _ := strings.Cut(c.header.Get("Sec-Websocket-Protocol"), ","); offered != "" {
		more += "Sec-WebSocket-Protocol: " + strings.TrimSpace(offered) + "\r\n"
	}
	fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n%s\r\n", c.header.Get("Upgrade"), more)
}

// greetAndEcho is the notary after a 101: it speaks first, and says goodbye when the client has ended.
func greetAndEcho(c *exchange) {
	io.WriteString(c, "the notary speaks first\n")
	if _, err := io.Copy(c.Conn, c.in); err == nil {
		io.WriteString(c, "goodbye\n")
	}
}

// newUUID is a version 4 UUID (RFC 9562 section 5.4).
func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
