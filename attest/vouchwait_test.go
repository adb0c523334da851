package attest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// slowBroker never answers.
type slowBroker struct{ asked atomic.Int32 }

func (s *slowBroker) RoundTrip(r *http.Request) (*http.Response, error) {
	s.asked.Add(1)
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// A handshake does not wait for a document that does not come, and many of them have it asked for once.
func TestVouchedWaitsBriefly(t *testing.T) {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"broker.example.com"},
		NotBefore: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2010, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	leaf := must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))))
	synctest.Test(t, func(t *testing.T) {
		broker := new(slowBroker)
		j, err := newJudge(Config{
			Policy:    &Policy{Builds: []Build{{TEE: "sgx", Measurements: map[string][]byte{"mrenclave": make([]byte, 32)}}}},
			Platforms: []Verifier{believer{}},
		})
		if err != nil {
			t.Fatal(err)
		}
		j.ask(&http.Client{Transport: broker}, "https://broker.example.com")
		state := tls.ConnectionState{ServerName: "broker.example.com", PeerCertificates: []*x509.Certificate{leaf}}
		begin := time.Now()
		done := make(chan error)
		for range 100 {
			go func() { done <- j.peer(state, "") }()
		}
		for range 100 {
			if err := <-done; !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
		}
		if waited := time.Since(begin); waited > stapleWait || broker.asked.Load() != 1 {
			t.Errorf("waited %v, and asked %d times", waited, broker.asked.Load())
		}
		time.Sleep(time.Minute) // what is under way ends
	})
}
