// Package between is who stands between a client and a server, for tests: a network that leads public names
// wherever a test says, and a man in the server's place who hands everything on and writes down what he could read.
//
// It owns no judgement of what he may have read, and knows nothing of brokers. No program links it.
package between

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
)

// Network is the way to every public name: a proxy that opens tunnels (CONNECT, RFC 9110 section 9.3.6). It is safe for concurrent use.
type Network struct {
	address string
	mu      sync.Mutex
	routes  map[string]string // "name:port" to an address
}

// Join makes a network, and makes this process and those that it starts reach public names through it: by the environment, which
// net/http reads once, so call it in TestMain. Loopback addresses are reached directly, as everywhere. It lasts as long as the process.
func Join() (*Network, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	n := &Network{address: l.Addr().String(), routes: map[string]string{}}
	go http.Serve(l, n)
	for name, value := range map[string]string{
		"HTTPS_PROXY": "http://" + n.address, "https_proxy": "", "HTTP_PROXY": "", "http_proxy": "", "NO_PROXY": "", "no_proxy": "",
	} {
		err = errors.Join(err, os.Setenv(name, value))
	}
	return n, err
}

// Lead makes a public name, at the port of https, lead to an address from now on.
func (n *Network) Lead(name, address string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.routes[name+":443"] = address
}

// ServeHTTP implements http.Handler.
func (n *Network) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	address := n.routes[r.Host]
	n.mu.Unlock()
	if r.Method != http.MethodConnect || address == "" {
		http.Error(w, "no way to "+r.Host, http.StatusBadGateway)
		return
	}
	there, err := net.Dial("tcp", address)
	if err != nil {
		http.Error(w, "nobody is there", http.StatusBadGateway)
		return
	}
	here, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		there.Close()
		return
	}
	fmt.Fprint(here, "HTTP/1.1 200 OK\r\n\r\n")
	relay(here, buffered, there)
}

// relay carries bytes both ways until one side ends, and closes both. What comes from here is read by its reader.
func relay(here net.Conn, reader io.Reader, there net.Conn) {
	go func() {
		io.Copy(there, reader)
		there.Close()
	}()
	io.Copy(here, there)
	here.Close()
}
