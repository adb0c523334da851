package acme

import (
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
)

// pebble is a CA that everybody trusts.
type pebble struct {
	t    *testing.T
	log  *log.Logger
	db   *db.MemoryStore
	ca   *ca.CAImpl
	dns  string
	root string // PEM
}

// newPebble makes a CA whose certificates live so many seconds; 0 means Pebble's default of five years.
func newPebble(t *testing.T, seconds uint64) *pebble {
	t.Helper()
	// Pebble waits up to 15 s before it validates, to find impatient clients. That it refuses some good nonces stays.
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	p := &pebble{t: t, log: log.New(io.Discard, "", 0), db: db.NewMemoryStore(), dns: startDNS(t)}
	p.ca = ca.New(p.log, p.db, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {Description: "default", ValidityPeriod: seconds}})
	p.root = string(p.ca.GetRootCert(0).PEM())
	return p
}

// door is where the CA answers ACME, and who it takes for the holder of every name.
type door struct {
	directory string
	cert      string // PEM, that the door is known by
	orders    atomic.Int32
	located   bool              // an order that is finished says where it is, as Let's Encrypt's do and Pebble's don't
	open      chan http.Handler // nobody is answered before
}

// newDoor opens one that answers when it leads somewhere.
func (p *pebble) newDoor() *door {
	p.t.Helper()
	d := &door{open: make(chan http.Handler, 1)}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/order-plz") {
			d.orders.Add(1)
		}
		select {
		case h := <-d.open:
			d.open <- h
			if id, ok := strings.CutPrefix(r.URL.Path, "/finalize-order/"); ok && d.located {
				w.Header().Set("Location", "https://"+r.Host+"/my-order/"+id)
			}
			h.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	p.t.Cleanup(s.Close)
	d.directory = s.URL + wfe.DirectoryPath
	d.cert = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	return d
}

// lead makes every name lead to an address, as the CA sees it, and opens the door.
func (p *pebble) lead(d *door, address string) {
	p.t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		p.t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		p.t.Fatal(err)
	}
	judge := va.New(p.log, 1, number, false, p.dns, p.db)
	front := wfe.New(p.log, p.db, judge, p.ca, []string{"pebble.letsencrypt.org"}, false, false, 1, 1)
	d.open <- front.Handler()
}

// startDNS answers that every name is this machine.
func startDNS(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &dns.Server{Listener: l, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(r)
		if len(r.Question) == 1 && r.Question[0].Qtype == dns.TypeA {
			m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: r.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(127, 0, 0, 1)}}
		}
		_ = w.WriteMsg(m)
	})}
	go s.ActivateAndServe()
	t.Cleanup(func() { s.Shutdown() })
	return l.Addr().String()
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
