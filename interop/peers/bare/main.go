// Command bare is a httputil.ReverseProxy and nothing else: no authorization,
// no log. It has the transport and the buffers of the gateway, so that what
// the gateway takes beyond it is what the gateway does.
//
//	bare -listen 127.0.0.1:9999 -upstream http://127.0.0.1:3000
package main

import (
	"flag"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/confidential-token-broker/ctb/gateway"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:9999", "`address`")
	upstream := flag.String("upstream", "http://127.0.0.1:3000", "`URL`")
	flag.Parse()
	if err := run(*listen, *upstream); err != nil {
		fmt.Fprintln(os.Stderr, "bare:", err)
		os.Exit(1)
	}
}

func run(listen, upstream string) error {
	target, err := url.Parse(upstream)
	if err != nil {
		return err
	}
	proxy := &httputil.ReverseProxy{
		Transport:  gateway.NewTransport(),
		BufferPool: new(pool),
		Rewrite:    func(r *httputil.ProxyRequest) { r.SetURL(target); r.SetXForwarded() },
	}
	server := &http.Server{Addr: listen, Handler: proxy, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	return server.ListenAndServe()
}

// size is that of the gateway's buffers.
const size = 32 << 10

// pool lends copy buffers as the gateway's does.
type pool struct{ buffers sync.Pool }

// Get implements httputil.BufferPool.
func (p *pool) Get() []byte {
	if a, ok := p.buffers.Get().(*[size]byte); ok {
		return a[:]
	}
	return make([]byte, size)
}

// Put implements httputil.BufferPool.
func (p *pool) Put(b []byte) { p.buffers.Put((*[size]byte)(b)) }
