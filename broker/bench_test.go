package broker

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/exchange"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

// An exchange is compared with the two signature operations that it cannot do without: verify the id
// token, sign the access token.

// pair is the algorithms of an exchange, and how many id tokens it is measured with.
type pair struct {
	name, idp, access string
	subjects          int
}

// So many that the cache of verified tokens, which holds 8,192, answers for none: those of RSA do
// not come round again, since few exchanges fit into the time of a benchmark.
var pairs = []pair{
	{"ES256→ES256", jose.ES256, jose.ES256, 20_000},
	{"RS256→RS256-3072", jose.RS256, jose.RS256, 4_000},
}

// subjects are id tokens that differ, so that no cache of verified tokens answers.
type subjects struct {
	tokens []string
	next   atomic.Int64
}

// newSubjects signs n tokens.
func newSubjects(b *testing.B, p *idp, n int) *subjects {
	s := &subjects{tokens: make([]string, n)}
	var signers sync.WaitGroup
	for part := range 2 {
		signers.Go(func() {
			for i := part; i < n; i += 2 {
				s.tokens[i] = p.token(b, noon, map[string]any{"sub": fmt.Sprint("user-", i)})
			}
		})
	}
	signers.Wait()
	return s
}

func (s *subjects) take() string {
	return s.tokens[int(s.next.Add(1))%len(s.tokens)]
}

// silent is an audit whose writer costs nothing, with the real encoding.
func silent() *AuditLog { return NewAuditLog(io.Discard) }

func benchFixture(b *testing.B, p pair) (*fixture, *idp) {
	provider := newIDP(b, "https://idp.example.com/", p.idp)
	f := newFixture(b, func(c *Config) { c.Algorithm, c.Audit = p.access, silent() }, provider)
	f.exchangeFor(b, provider) // fetches the keys
	return f, provider
}

// signatures does the two operations with the standard library alone.
func signatures(b testing.TB, p pair) func() {
	digest := sha256.Sum256([]byte("a signing input"))
	verify := map[string]func(){}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	ecSigned, err := ecdsa.SignASN1(rand.Reader, ec, digest[:])
	if err != nil {
		b.Fatal(err)
	}
	small, err := rsaKey()
	if err != nil {
		b.Fatal(err)
	}
	rsaSigned, err := small.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		b.Fatal(err)
	}
	verify[jose.ES256] = func() { ecdsa.VerifyASN1(&ec.PublicKey, digest[:], ecSigned) }
	verify[jose.RS256] = func() { _ = rsa.VerifyPKCS1v15(small.Public().(*rsa.PublicKey), crypto.SHA256, digest[:], rsaSigned) }
	key, err := jose.GenerateKey(p.access, rsaBits)
	if err != nil {
		b.Fatal(err)
	}
	return func() {
		verify[p.idp]()
		if _, err := key.Sign(rand.Reader, digest[:], crypto.SHA256); err != nil {
			b.Error(err)
		}
	}
}

func BenchmarkExchange(b *testing.B) {
	for _, p := range pairs {
		b.Run(p.name+"/ours", func(b *testing.B) {
			f, provider := benchFixture(b, p)
			s := newSubjects(b, provider, p.subjects)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := f.Exchange(b.Context(), &exchange.Request{SubjectToken: s.take()}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(p.name+"/bare", func(b *testing.B) {
			both := signatures(b, p)
			b.ReportAllocs()
			for b.Loop() {
				both()
			}
		})
	}
}

// BenchmarkExchangeHTTPS has a bare handler that takes the same request and answers as much.
func BenchmarkExchangeHTTPS(b *testing.B) {
	for _, p := range pairs {
		f, provider := benchFixture(b, p) // once, though the function below runs for each b.N
		s := newSubjects(b, provider, p.subjects)
		for i, raw := range s.tokens {
			s.tokens[i] = form(raw).Encode() // the asker's work, done before the clock runs
		}
		b.Run(p.name+"/ours", func(b *testing.B) {
			load(b, f, "/token", s.take)
		})
		b.Run(p.name+"/bare", func(b *testing.B) {
			provider := newIDP(b, "https://idp.example.com/", p.idp)
			body := form(provider.token(b, noon)).Encode()
			both := signatures(b, p)
			answer := fmt.Sprintf(`{"access_token":%q}`, strings.Repeat("a", 900))
			handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				both()
				_, _ = io.WriteString(w, answer)
			})
			load(b, handler, "/token", func() string { return body })
		})
	}
}

// load sends requests over 32 connections that are kept alive, each with its own client.
func load(b *testing.B, h http.Handler, path string, body func() string) {
	s := httptest.NewTLSServer(h)
	defer s.Close()
	pool := s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	b.SetParallelism(16) // times two cores
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
		defer c.CloseIdleConnections()
		for pb.Next() {
			resp, err := c.Post(s.URL+path, formType, strings.NewReader(body()))
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				b.Errorf("got %s", resp.Status)
				return
			}
		}
	})
}

// BenchmarkStart is from nothing to the first token, the provider's keys fetched over HTTPS.
func BenchmarkStart(b *testing.B) {
	provider := newIDP(b, "https://idp.example.com/", jose.ES256)
	set, raw, client := parseRules(b, ruleFile("", provider)), provider.token(b, noon), trusting(10*time.Second)
	hardware := newHardware(b)
	for b.Loop() {
		broker, err := New(context.Background(), Config{
			Issuer: brokerURL, Rules: set, Quoter: hardware, Audit: silent(), Client: client, Now: newClock(noon).now,
		})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := broker.Exchange(context.Background(), &exchange.Request{SubjectToken: raw}); err != nil {
			b.Fatal(err)
		}
	}
}
