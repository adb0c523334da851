package blackbox

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// client is a raw connection to the gateway.
type client struct {
	net.Conn
	in      *bufio.Reader
	methods []string // of the requests that are not answered yet
}

// answer is what came back, or why nothing did.
type answer struct {
	status int
	header http.Header
	body   string
	err    error
}

// dial connects to an address.
func dial(t testing.TB, address string) *client {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return &client{Conn: conn, in: bufio.NewReader(conn)}
}

// send writes bytes. An error is not looked at: the answer tells.
func (c *client) send(text string) {
	method, _, _ := strings.Cut(text, " ")
	c.methods = append(c.methods, method)
	io.WriteString(c, text)
}

// receive reads one answer.
func (c *client) receive() *answer {
	method := ""
	if len(c.methods) > 0 {
		method, c.methods = c.methods[0], c.methods[1:]
	}
	res, err := http.ReadResponse(c.in, &http.Request{Method: method})
	if err != nil {
		return &answer{err: err}
	}
	a := &answer{status: res.StatusCode, header: res.Header}
	if res.StatusCode != http.StatusSwitchingProtocols {
		body, err := io.ReadAll(res.Body)
		a.body, a.err = string(body), err
	}
	return a
}

// ended wants the end of the connection, and nothing before it.
func (c *client) ended() error {
	rest, err := io.ReadAll(io.LimitReader(c.in, 1<<10))
	var late net.Error
	switch {
	case len(rest) > 0:
		return fmt.Errorf("got %q, want the end of the connection", rest)
	case errors.As(err, &late) && late.Timeout():
		return errors.New("the connection stays open, want its end")
	}
	return nil // by FIN or by RST
}

// expect wants exactly these bytes next.
func (c *client) expect(want string) error {
	got := make([]byte, len(want))
	n, err := io.ReadFull(c.in, got)
	if err != nil || string(got) != want {
		return fmt.Errorf("got %q, %v, want %q", got[:n], err, want)
	}
	return nil
}

// ask sends one request on a connection of its own.
func ask(t testing.TB, address, request string) *answer {
	t.Helper()
	c := dial(t, address)
	defer c.Close()
	c.send(request)
	return c.receive()
}
