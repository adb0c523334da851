package attest_test

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/simulated"
)

// attestedServer is a broker whose TLS key is attested by simulated hardware, and of no public CA.
func attestedServer(t *testing.T) *stapled {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &stapled{broker: newBroker(t), now: newClock(day(1))}
	handler := s.Server.Config.Handler
	s.hardware, _ = machine(t, simulated.Config{})
	key, bound := newP256(t), binding()
	bound.Issuer = "https://" + l.Addr().String()
	forTLS := bound
	forTLS.Use, forTLS.Names = attest.UseTLS, []string{"127.0.0.1"}
	cert := made(attest.Certify(t.Context(), s.hardware, key, forTLS))
	s.cert = made(attest.Certify(t.Context(), s.hardware, newP256(t), bound))
	s.publish(jwk(t, s.cert))
	s.setStaple(s.good())
	s.Server = &httptest.Server{
		Listener: l, Config: &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)},
		TLS: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}},
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// get makes a connection of its own.
func get(t *testing.T, c attest.Config) error {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: made(attest.TLSConfig(c)), DisableKeepAlives: true}}
	resp, err := client.Get(c.URL + "/.well-known/jwks.json")
	if err == nil {
		resp.Body.Close()
	}
	return err
}

// A peer is trusted by the staple that its own server hands out, before anything is known of it.
func TestTLSConfigStaple(t *testing.T) {
	s := attestedServer(t)
	c := s.config(nil)
	c.Client = nil
	config := made(attest.TLSConfig(c))
	for range 3 {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
		resp, err := client.Get(s.URL + "/.well-known/jwks.json")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	if n := s.asked.Load(); n != 1 {
		t.Errorf("asked %d times for the staple of three connections", n)
	}
	// The same evidence under another root, or in a build of others, is what it was.
	other := c
	other.Policy = simulatedPolicy()
	other.Policy.Builds[0].Measurements["mrenclave"] = make([]byte, 32)
	wantError(t, get(t, other), "attested TLS: ")

	s.setStaple(answer(200, "text/html", []byte("<html>")))
	err := get(t, c)
	wantError(t, err, "no collateral")
	wantError(t, err, "staple: GET "+s.URL)
	sourced := s.config(s.hardware.Collateral())
	sourced.Client = nil
	if err := get(t, sourced); err != nil {
		t.Errorf("with a source: %v", err)
	}
}

// A key set knows the server and its keys by one staple, asked for once.
func TestKeySetByStapleOverAttestedTLS(t *testing.T) {
	s := attestedServer(t)
	c := s.config(nil)
	c.Client = nil
	set := made(attest.NewKeySet(c))
	if _, err := set.Key(t.Context(), kidOf(s.cert)); err != nil {
		t.Fatal(err)
	}
	if n := s.asked.Load(); n != 1 {
		t.Errorf("asked %d times for the staple of one refresh", n)
	}
	// An outage of the staple leaves what was fetched.
	s.setStaple(answer(503, "application/json", nil))
	s.now.advance(11 * time.Minute)
	if err := set.Refresh(t.Context(), 0); err != nil {
		t.Error(err)
	}
	if _, err := set.Key(t.Context(), kidOf(s.cert)); err != nil {
		t.Error(err)
	}
}

// A broker that staples nothing is not asked for it at every connection.
func TestTLSConfigWithoutStaple(t *testing.T) {
	s := attestedServer(t)
	s.setStaple(nil)
	c := s.config(s.hardware.Collateral())
	c.Client = nil
	config := made(attest.TLSConfig(c))
	for range 3 {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
		resp, err := client.Get(s.URL + "/.well-known/jwks.json")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		s.now.advance(31 * time.Second)
	}
	if n := s.asked.Load(); n != 1 {
		t.Errorf("asked %d times in a minute and a half", n)
	}
}

// A certificate that can't be accepted, whatever its evidence says, is no reason to ask its server for anything.
func TestNoStapleForExpiredCertificate(t *testing.T) {
	s := attestedServer(t)
	c := s.config(nil)
	c.Client = nil
	s.now.set(day(3))
	if err := get(t, c); err == nil {
		t.Error("accepted")
	}
	if n := s.asked.Load(); n != 0 {
		t.Errorf("asked %d times", n)
	}
}

// Keys at a URL of no issuer have no staple: nobody is asked.
func TestNoStapleWithoutIssuer(t *testing.T) {
	s := newStapled(t)
	s.setStaple(func(http.ResponseWriter, *http.Request) { t.Error("asked") })
	keys := httptest.NewTLSServer(answerJSON(*s.jwks.Load()))
	defer keys.Close()
	c := s.config(s.hardware.Collateral())
	c.URL, c.Issuer, c.Client = keys.URL+"/keys.json", s.URL, keys.Client()
	if _, err := made(attest.NewKeySet(c)).Key(t.Context(), kidOf(s.cert)); err != nil {
		t.Error(err)
	}
}
