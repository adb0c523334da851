package kds_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest/snp/kds"
	"github.com/confidential-token-broker/ctb/attest/snp/snptest"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

// world is a service with platforms, and a client of it. Both have one clock, which waiting moves.
type world struct {
	service *snptest.Service
	client  *kds.Client

	mu     sync.Mutex
	now    time.Time
	waited []time.Duration
}

func (w *world) clock() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.now }

func (w *world) pass(d time.Duration) { w.mu.Lock(); defer w.mu.Unlock(); w.now = w.now.Add(d) }

func newWorld(t testing.TB, platforms ...*snptest.Platform) *world {
	t.Helper()
	w := &world{service: snptest.NewService(platforms...), now: t0}
	server := httptest.NewUnstartedServer(w.service)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	t.Cleanup(server.Close)
	w.client = &kds.Client{BaseURL: server.URL + "/", HTTP: server.Client()}
	w.client.SetClock(w.clock, func(_ context.Context, d time.Duration) error {
		w.pass(d)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.waited = append(w.waited, d)
		return nil
	})
	return w
}

func about(t testing.TB, p *snptest.Platform) kds.Platform {
	t.Helper()
	a, err := kds.ParsePlatform(report(t, p))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// without is collateral but for its revocation list, which is signed anew each time.
func without(c *kds.Collateral) kds.Collateral { d := *c; d.CRL = nil; return d }

const hwid = "001112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f"

// TestURLs: the service is asked as AMD documents it, for each product in its own form.
func TestURLs(t *testing.T) {
	for name, c := range map[string]struct {
		config snptest.Config
		want   []string
	}{
		"Milan": {snptest.Config{}, []string{"/vcek/v1/Milan/" + hwid + "?blSPL=03&teeSPL=00&snpSPL=08&ucodeSPL=115", "/vcek/v1/Milan/cert_chain", "/vcek/v1/Milan/crl"}},
		"Genoa": {snptest.Config{Product: kds.Genoa, TCB: tee.AMDTCB{Bootloader: 1, TEE: 2, SNP: 3, Microcode: 4}},
			[]string{"/vcek/v1/Genoa/" + hwid + "?blSPL=01&teeSPL=02&snpSPL=03&ucodeSPL=04", "/vcek/v1/Genoa/cert_chain", "/vcek/v1/Genoa/crl"}},
		"Turin": {snptest.Config{Product: kds.Turin, TCB: tee.AMDTCB{FMC: 1, Bootloader: 2, TEE: 3, SNP: 4, Microcode: 5}},
			[]string{"/vcek/v1/Turin/" + hwid[:16] + "?fmcSPL=01&blSPL=02&teeSPL=03&snpSPL=04&ucodeSPL=05", "/vcek/v1/Turin/cert_chain", "/vcek/v1/Turin/crl"}},
		"the cloud's key":           {snptest.Config{SignedBy: kds.VLEK}, []string{"/vlek/v1/Milan/cert_chain", "/vlek/v1/Milan/crl"}},
		"a chip whose id is hidden": {snptest.Config{Report: func(r []byte) { clear(r[0x1a0:0x1e0]) }}, []string{"/vcek/v1/Milan/cert_chain", "/vcek/v1/Milan/crl"}},
		"version 2, a Genoa": {snptest.Config{Version: 2, Product: kds.Genoa}, []string{
			"/vcek/v1/Milan/" + hwid + "?blSPL=03&teeSPL=00&snpSPL=08&ucodeSPL=115", "/vcek/v1/Genoa/" + hwid + "?blSPL=03&teeSPL=00&snpSPL=08&ucodeSPL=115",
			"/vcek/v1/Genoa/cert_chain", "/vcek/v1/Genoa/crl"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := platform(t, c.config)
			w := newWorld(t, p)
			got, err := w.client.Collateral(t.Context(), about(t, p))
			if err != nil {
				t.Fatal(err)
			}
			want := without(p.Certificates())
			if len(c.want) == 2 {
				want.Leaf = nil
			}
			if !reflect.DeepEqual(without(got), want) || len(got.CRL) == 0 {
				t.Errorf("got %v", got)
			}
			if asked := w.service.Asked(); !slices.Equal(asked, c.want) {
				t.Errorf("asked for %q, want %q", asked, c.want)
			}
		})
	}
}

// TestSharedDocuments: what all chips of a product share is asked for once in ten minutes, whoever asks.
func TestSharedDocuments(t *testing.T) {
	var chips []*snptest.Platform
	for i := range 5 {
		chips = append(chips, platform(t, snptest.Config{Chip: byte(i)}))
	}
	w := newWorld(t, chips...)
	var wg sync.WaitGroup
	for _, p := range chips {
		wg.Go(func() {
			if _, err := w.client.Collateral(t.Context(), about(t, p)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(w.service.Asked()); n != len(chips)+2 {
		t.Errorf("asked %d times, want %d", n, len(chips)+2)
	}
	w.pass(10 * time.Minute)
	if _, err := w.client.Collateral(t.Context(), about(t, chips[0])); err != nil || len(w.service.Asked()) != len(chips)+5 {
		t.Errorf("got %v, asked %d times", err, len(w.service.Asked()))
	}
}

// TestRefusedQuestions: what nobody is asked.
func TestRefusedQuestions(t *testing.T) {
	p := platform(t, snptest.Config{Product: kds.Turin})
	w := newWorld(t, p)
	good := about(t, p)
	for want, change := range map[string]func(*kds.Platform){
		`product: got "../Milan"`:   func(p *kds.Platform) { p.Product = "../Milan" },
		`signed by: got "x"`:        func(p *kds.Platform) { p.SignedBy = "x" },
		"has a chip id of 8 bytes":  func(p *kds.Platform) { p.ChipID[8] = 1 },
		"does not tell its product": func(p *kds.Platform) { p.Product, p.SignedBy, p.ChipID = "", kds.VLEK, [64]byte{} },
	} {
		about := good
		change(&about)
		_, err := w.client.Collateral(t.Context(), about)
		wantError(t, err, want)
	}
	if asked := w.service.Asked(); len(asked) > 0 {
		t.Errorf("asked for %q", asked)
	}
	for _, base := range []string{"http://kds.example", "ftp://kds.example", "https://user@kds.example", "https://kds.example/?x=1", "https://kds.example/#x", "://", "kds.example"} {
		if _, err := kds.Open(base, nil); err == nil {
			t.Errorf("%s: was taken", base)
		}
	}
	if _, err := kds.Open("", nil); err == nil {
		t.Error("no place was taken")
	}
	for _, place := range []string{"amd", kds.AMD, "https://kds.example/amd/", "http://127.0.0.1:8080"} {
		if _, err := kds.Open(place, nil); err != nil {
			t.Error(err)
		}
	}
}

// says makes a fault that answers this to questions that have part in them.
func says(part string, status int, body string, header ...string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.RequestURI(), part) {
			return false
		}
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
		return true
	}
}

// TestFaultsOfTheService: each is an error that says what was asked, and what that means.
func TestFaultsOfTheService(t *testing.T) {
	p := platform(t, snptest.Config{})
	c := p.Certificates()
	for name, f := range map[string]struct {
		fault func(http.ResponseWriter, *http.Request) bool
		want  []string
	}{
		"no such chip":                {says("blSPL", 404, ""), []string{"VCEK certificate: GET http://", "?blSPL=03", "got status 404", "knows no chip of this id"}},
		"out of order":                {says("blSPL", 500, ""), []string{"got status 500", "nothing is said about the platform"}},
		"no chain":                    {says("cert_chain", 404, ""), []string{"certificate chain: GET", "is the base URL right?"}},
		"no list":                     {says("/crl", 404, ""), []string{"revocation list: GET", "got status 404"}},
		"a web page":                  {says("blSPL", 200, "<html>"), []string{"VCEK certificate", "want a certificate in DER"}},
		"a truncated certificate":     {says("blSPL", 200, string(c.Leaf[:100])), []string{"want a certificate in DER"}},
		"more than a certificate":     {says("blSPL", 200, string(c.Leaf)+"x"), []string{"want a certificate in DER"}},
		"an answer without end":       {says("blSPL", 200, strings.Repeat("x", 65<<10)), []string{"more than 65536 bytes"}},
		"an answer that breaks off":   {says("blSPL", 200, "x", "Content-Length", "100"), []string{"broke off"}},
		"half a chain":                {says("cert_chain", 200, "-----BEGIN CERTIFICATE-----\n"), []string{"want the certificates of the CA and the root in PEM"}},
		"a list in PEM":               {says("/crl", 200, "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n"), []string{"want a certificate revocation list in DER"}},
		"more than a list":            {says("/crl", 200, string(c.CRL)+"x"), []string{"want a certificate revocation list in DER"}},
		"a redirect to anybody":       {says("blSPL", 302, "", "Location", "http://kds.example/"), []string{"redirect from http to http"}},
		"a service that hangs up":     {func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }, []string{"VCEK certificate: GET"}},
		"too often, for a long while": {says("blSPL", 429, "", "Retry-After", "60"), []string{"got status 429", "asked too often"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, p)
			w.service.SetFault(f.fault)
			got, err := w.client.Collateral(t.Context(), about(t, p))
			if got != nil || errors.Is(err, tee.ErrRevoked) {
				t.Errorf("got %v", got)
			}
			wantError(t, err, f.want...)
			if e := new(kds.Error); !errors.As(err, &e) || e.What == "" || e.URL == "" {
				t.Errorf("got %v, want a kds.Error", err)
			}
		})
	}
}

// TestASlowService is left when its asker's time is up.
func TestASlowService(t *testing.T) {
	p := platform(t, snptest.Config{})
	w := newWorld(t, p)
	w.service.SetFault(func(_ http.ResponseWriter, r *http.Request) bool {
		<-r.Context().Done()
		return true
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := w.client.Collateral(ctx, about(t, p)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// TestAStormOf429: a service that was asked too often is left alone by all askers, for as long as it wants, up to five minutes.
func TestAStormOf429(t *testing.T) {
	chip, other := platform(t, snptest.Config{}), platform(t, snptest.Config{Chip: 1})
	w := newWorld(t, chip, other)
	w.service.SetFault(says("", 429, "", "Retry-After", "60"))
	_, err := w.client.Collateral(t.Context(), about(t, chip))
	wantError(t, err, "got status 429")
	for _, p := range []*snptest.Platform{chip, other, chip} {
		_, err := w.client.Collateral(t.Context(), about(t, p))
		wantError(t, err, "not asked: the service wants to be left alone for another 1m0s")
		if e := new(kds.Error); !errors.As(err, &e) || e.RetryAfter != time.Minute {
			t.Errorf("got %v", err)
		}
	}
	if n := len(w.service.Asked()); n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
	w.service.SetFault(nil)
	w.pass(time.Minute)
	if _, err := w.client.Collateral(t.Context(), about(t, other)); err != nil {
		t.Error(err)
	}
	// A year is not waited for.
	w.service.SetFault(says("", 429, "", "Retry-After", "31536000"))
	_, err = w.client.Collateral(t.Context(), about(t, chip))
	wantError(t, err, "got status 429")
	w.service.SetFault(nil)
	w.pass(5 * time.Minute)
	if _, err := w.client.Collateral(t.Context(), about(t, chip)); err != nil {
		t.Error(err)
	}
}

// TestPatience: a short "not now" is waited for, twice.
func TestPatience(t *testing.T) {
	p := platform(t, snptest.Config{})
	w := newWorld(t, p)
	left := 2
	w.service.SetFault(func(rw http.ResponseWriter, r *http.Request) bool {
		if left == 0 {
			return false
		}
		left--
		return says("", 429, "", "Retry-After", "3")(rw, r)
	})
	if _, err := w.client.Collateral(t.Context(), about(t, p)); err != nil || !slices.Equal(w.waited, []time.Duration{3 * time.Second, 3 * time.Second}) {
		t.Errorf("got %v, having waited %v", err, w.waited)
	}
}

// TestStaple: a broker puts together what goes along with its evidence.
func TestStaple(t *testing.T) {
	for _, c := range []snptest.Config{{}, {SignedBy: kds.VLEK}, {Version: 2, SignedBy: kds.VLEK, Product: kds.Genoa}} {
		p := platform(t, c)
		w := newWorld(t, p)
		table, err := kds.FromTable(p.Table())
		if err != nil {
			t.Fatal(err)
		}
		got, err := kds.Staple(t.Context(), w.client, report(t, p), table)
		if err != nil {
			t.Fatal(err)
		}
		if ch, err := got.Verify(p.Root()); err != nil || ch.Leaf == nil || ch.CRL == nil {
			t.Errorf("got %v, %v", ch, err)
		}
		w.service.SetFault(says("", 500, ""))
		w.pass(time.Hour)
		if got, err := kds.Staple(t.Context(), w.client, report(t, p), table); err == nil || got != table {
			t.Errorf("got %v, %v, want what came, and the error", got, err)
		}
	}
	_, err := kds.Staple(t.Context(), newWorld(t).client, nil, nil)
	wantError(t, err, "got 0 bytes")
}
