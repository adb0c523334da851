package broker

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/internal/patient"
)

// hanging is hardware that answers nobody before its time has come, or his patience ends.
type hanging struct {
	*hardware
	until chan struct{}
}

func (h *hanging) Quote(ctx context.Context, data [64]byte) (*attest.Evidence, error) {
	select {
	case <-h.until:
		return h.hardware.Quote(ctx, data)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// newHanging is a broker in the bubble of a test, which has no key.
func newHanging(t *testing.T) (*Broker, *hanging) {
	h := &hanging{hardware: newHardware(t), until: make(chan struct{})}
	set := parseRules(t, []byte(`{"configs":[{"idp":"https://idp.example.com/","jwk_endpoint":"https://127.0.0.1:1/","client_id":"c","server_api":["a"],"scope":"s","expiration":60}]}`))
	b, err := New(t.Context(), Config{Issuer: brokerURL, Rules: set, Quoter: h, Audit: silent(), Client: &http.Client{Transport: offline{}}})
	if err != nil {
		t.Fatal(err)
	}
	return b, h
}

// A server gives up a handshake after some seconds: none may wait for as long as hardware hangs, and few may wait at all.
func TestHandshakesDoNotWaitForHardware(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, h := newHanging(t)
		began, goroutines := time.Now(), runtime.NumGoroutine()
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				c, err := b.TLSCertificate()
				if err != nil || len(attest.Schemes(c.Leaf)) != 0 {
					t.Errorf("got %v, %v, want a certificate without evidence", c, err)
				}
			})
		}
		synctest.Wait()
		if n := runtime.NumGoroutine() - goroutines; n > 100+2 {
			t.Errorf("100 handshakes take %d goroutines", n)
		}
		all.Wait()
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("handshakes waited for %v", took)
		}
		// Nobody waits once there is one, while the attempt is under way.
		began = time.Now()
		for range 100 {
			if _, err := b.TLSCertificate(); err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("handshakes waited for %v in all", took)
		}
		close(h.until)
		time.Sleep(evidenceWithin)
		if c, err := b.TLSCertificate(); err != nil || len(attest.Schemes(c.Leaf)) != 1 {
			t.Errorf("got %v, %v, want evidence", c, err)
		}
	})
}

// Who stops the broker does not wait for its hardware, whoever is asking it.
func TestHangingHardwareDoesNotDelayTheEnd(t *testing.T) {
	for name, asks := range map[string]func(*testing.T, *Broker){
		"a handshake":  func(_ *testing.T, b *Broker) { b.TLSCertificate() },
		"a public key": func(t *testing.T, b *Broker) { b.AttestTLSKey(ecKey(t), nil) },
		"a nonce":      func(_ *testing.T, b *Broker) { b.freshDocument(context.Background(), [][]byte{make([]byte, 16)}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, _ := newHanging(t)
				ctx, cancel := context.WithCancel(t.Context())
				var ended sync.WaitGroup
				ended.Go(func() { b.Run(ctx) })
				time.Sleep(70 * time.Second) // the keys' own attempts have begun, and none ends in the next second
				ended.Go(func() { asks(t, b) })
				time.Sleep(time.Second)
				began := time.Now()
				cancel()
				ended.Wait()
				if took := time.Since(began); took > 0 {
					t.Errorf("the broker ended after %v", took)
				}
				if _, err := b.TLSCertificate(); err != nil {
					t.Errorf("requests under way have no certificate: %v", err)
				}
			})
		})
	}
}

func ecKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// A publicly trusted certificate is shown when checkers find its key in the attestation document, and stays while its evidence can't be renewed.
func TestListsKey(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	f := newFixture(t, nil, p)
	key := ecKey(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: noon, NotAfter: noon.Add(time.Hour), DNSNames: []string{"broker.example.com"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	public := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	if public.Leaf, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	f.hardware.broken.Store(true)
	if err := f.AttestTLSKey(key, nil); err != nil {
		t.Fatal(err)
	}
	if f.Lists(public.Leaf) {
		t.Error("a key without evidence is listed")
	}
	f.hardware.broken.Store(false)
	f.clock.add(maxRetryAfter)
	f.tls.advance(t.Context())
	if !f.Lists(public.Leaf) {
		t.Error("a key with evidence is not listed")
	}
	f.hardware.broken.Store(true)
	f.clock.add(200 * time.Hour)
	f.tls.advance(t.Context())
	if !f.Lists(public.Leaf) {
		t.Error("a key that was listed is not any more")
	}
}

// slow is hardware that makes one quote at a time, and takes its time for each, whoever still waits for it.
type slow struct {
	*hardware
	takes time.Duration
	line  patient.Line
}

func (s *slow) Quote(ctx context.Context, data [64]byte) (*attest.Evidence, error) {
	return patient.Do(ctx, &s.line, func() (*attest.Evidence, error) {
		time.Sleep(s.takes)
		return s.hardware.Quote(context.Background(), data)
	})
}

// Those who ask for fresh evidence, however many, do not keep slow hardware from the keys.
func TestAskersDoNotKeepHardwareFromKeys(t *testing.T) {
	for _, takes := range []time.Duration{3 * time.Second, 14 * time.Second, 26 * time.Second} {
		t.Run(takes.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &slow{hardware: newHardware(t), takes: takes}
				set := parseRules(t, []byte(`{"configs":[{"idp":"https://idp.example.com/","jwk_endpoint":"https://127.0.0.1:1/","client_id":"c","server_api":["a"],"scope":"s","expiration":60}]}`))
				b, err := New(t.Context(), Config{Issuer: brokerURL, Rules: set, Quoter: s, Audit: silent(), Client: &http.Client{Transport: offline{}}, RotateEvery: time.Hour})
				if err != nil {
					t.Fatal(err)
				}
				first := b.ring.current.Load().key
				if first == nil {
					t.Fatal("there is no first key")
				}
				ctx, cancel := context.WithCancel(t.Context())
				var ended sync.WaitGroup
				ended.Go(func() { b.Run(ctx) })
				for range 3 {
					ended.Go(func() {
						for nonce := make([]byte, 16); ctx.Err() == nil; time.Sleep(time.Second) {
							b.fresh.ask(ctx, nonce)
						}
					})
				}
				time.Sleep(time.Hour + 8*time.Minute) // its attempts begin two minutes before the hour, and some come to nothing
				if b.ring.current.Load().key == first {
					t.Errorf("the next key is not in use: %v", b.ring.status.Load().making)
				}
				cancel()
				ended.Wait()
				time.Sleep(time.Minute) // what hardware was asked for
			})
		})
	}
}
